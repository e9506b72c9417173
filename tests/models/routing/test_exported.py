"""The routing that is found for each image, exported alone: the same capsules in ONNX Runtime at every batch."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from capsedge.export.collapse import Deployable
from capsedge.export.onnx import to_onnx
from capsedge.models import squash
from capsedge.models.routing import DynamicRouting, EMRouting, KLRouting

PIXELS = (12, 12, 2)


class OnlyRouting(nn.Module):
    """A network whose primary capsules are the image's pixels."""

    def __init__(self, layer: nn.Module, dim: int) -> None:
        super().__init__()
        self.layer = layer
        self.dim = dim

    def forward(self, images: Tensor) -> Tensor:
        v: Tensor = self.layer(squash(images.reshape(images.shape[0], -1, self.dim)))
        return v


@pytest.mark.parametrize(
    "layer",
    [
        DynamicRouting(capsules=36, dim=8, classes=10, class_dim=16),
        KLRouting(capsules=36, dim=8, classes=10, class_dim=16),
        EMRouting(capsules=18, dim=16, classes=10, class_dim=16),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_exported_routing_gives_the_same_capsules_at_every_batch(layer: nn.Module, tmp_path: Path) -> None:
    module = Deployable(OnlyRouting(layer, 16 if isinstance(layer, EMRouting) else 8)).eval()
    path = tmp_path / "routing.onnx"
    path.write_bytes(to_onnx(module, PIXELS).SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(6)
    for batch in (1, 2, 7):
        images = rng.integers(0, 256, (batch, *PIXELS), dtype=np.uint8)
        images[0] = 0 if batch == 7 else images[0]
        lengths, poses = session.run(None, {"image": images})
        with torch.no_grad():
            expected = [output.numpy() for output in module(torch.from_numpy(images))]
        np.testing.assert_allclose(lengths, expected[0], atol=1e-4)
        np.testing.assert_allclose(poses, expected[1], atol=1e-4)
