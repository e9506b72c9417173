"""The collapsed network against the network it comes from."""

from copy import deepcopy

import numpy as np
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.export.collapse import Deployable, collapse, squashed
from capsedge.export.onnx import to_onnx
from capsedge.training import Run
from tests.export.exact import exact_capsules, patchwork
from tests.export.stems import STEMS, stem_network


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("hidden", ["[]", "[[6, 4], [5, 4]]"])
def test_every_stem_and_every_hidden_layer_collapses(stem: str, hidden: str) -> None:
    network = stem_network(stem, "l2", f"network.hidden={hidden}")
    images = patchwork(6, 28, 1, seed=4)
    expected = torch.from_numpy(exact_capsules(deepcopy(network), images))
    with torch.no_grad():
        given = collapse(network)(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
    assert expected.std() > 1e-5
    torch.testing.assert_close(given.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-15, 1e-3, 1.0, 1e3, 1e15])
def test_squash_without_a_square_is_equation_3(scale: float) -> None:
    vectors = scale * torch.randn(50, 7, 8, generator=torch.Generator().manual_seed(0))
    exact = vectors.double().numpy()
    norm = np.linalg.norm(exact, axis=2, keepdims=True)
    direction = exact / np.where(norm > 0, norm, 1)
    np.testing.assert_allclose(squashed(vectors).numpy(), norm**2 / (1 + norm**2) * direction, rtol=2e-6, atol=1e-37)


class PixelsAsCapsules(nn.Module):
    """A network whose class capsules are rows of four pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(-1, 4, 4) * 5


@pytest.mark.parametrize("level", ["DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL"])
def test_a_capsule_of_zeros_stays_zero_however_a_graph_is_optimized(level: str) -> None:
    model = to_onnx(Deployable(PixelsAsCapsules()).eval(), (4, 4, 1))
    images = np.zeros((2, 4, 4, 1), np.uint8)
    images[1, 2] = 255
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, f"ORT_{level}")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    # Four numbers of 5 have the norm 10, which becomes 100 / 101.
    for lengths, poses in (
        session.run(None, {"image": images}),
        ReferenceEvaluator(model).run(None, {"image": images}),
    ):
        wanted = np.array([[0, 0, 0, 0], [0, 0, 100 / 101, 0]])
        np.testing.assert_allclose(np.asarray(lengths), wanted, rtol=1e-6, atol=0)
        np.testing.assert_allclose(np.asarray(poses), np.repeat(wanted[..., None] / 2, 4, axis=2), rtol=1e-6, atol=0)


def test_raw_images_are_scaled_and_turned_inside(trained: Run) -> None:
    network = trained.load_best()
    raw = torch.randint(0, 256, (3, 28, 28, 1), dtype=torch.uint8)
    module = Deployable(collapse(network))
    lengths, poses = module(raw)
    assert module.outputs == ("lengths", "poses")
    expected = network(raw.permute(0, 3, 1, 2).float() / 255)
    torch.testing.assert_close(lengths, expected.lengths, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(poses, expected.poses, atol=1e-5, rtol=1e-4)


def test_dynamic_routing_has_nothing_constant_to_fold(dynamic: Run) -> None:
    with pytest.raises(
        WrongUse, match=r"DynamicRouting cannot be collapsed.*routing\.kind l2, l1, frozen or backprop"
    ):
        collapse(dynamic.load_best())
