"""The reconstruction of an exported file, against the decoder's equations in float64 and the images of training."""

from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from capsedge.errors import ModelError, WrongUse
from capsedge.export.collapse import Deployable, deployable
from capsedge.export.decoder import LongestDecoder
from capsedge.export.onnx import output_shapes, save_with_contract, to_onnx
from capsedge.export.tensorrt.process import run_worker
from capsedge.export.tensorrt.worker import Build, Built
from capsedge.models import CapsNet, build_network
from capsedge.models.decoder import Decoder
from capsedge.runtime.open import open_session
from tests.export.exact import exact_lengths, exact_poses, patchwork
from tests.export.typed_files import contract_in
from tests.runtime.capsule_model import images as random_images
from tests.runtime.capsule_model import save
from tests.tiny import tiny_recipe

GREY, COLOUR = (28, 28, 1), (28, 36, 3)
CROPPED = ("data.crop=24", "data.standardize=true", "network.padding=same")
NETWORKS = {
    "l2": (GREY, ("routing.kind=l2",)),
    "l1 in colour": (COLOUR, ("routing.kind=l1",)),
    "frozen, cropped": (COLOUR, ("routing.kind=frozen", *CROPPED)),
    "backprop, hidden capsules": (GREY, ("routing.kind=backprop", "network.hidden=[[6, 4]]")),
    "dynamic in colour": (COLOUR, ("routing.kind=dynamic",)),
    "kl": (GREY, ("routing.kind=kl", "routing.temperature=0.1")),
    "em, cropped": (COLOUR, ("routing.kind=em", "routing.temperature=0.5", *CROPPED)),
}


CASES = [
    ("l2", 1),
    ("l1 in colour", 2),
    ("frozen, cropped", 2),
    ("backprop, hidden capsules", 1),
    ("dynamic in colour", 1),
    ("kl", 2),
    ("em, cropped", 1),
]


def a_network(name: str) -> CapsNet:
    """A network whose weights are random and wide enough that images have different longest capsules."""
    torch.manual_seed(3)
    shape, changes = NETWORKS[name]
    recipe = tiny_recipe("network.decoder=[8, 16]", "routing.sigma=0.5", *changes)
    network = build_network(recipe, classes=5, shape=shape)
    assert network.decoder is not None
    with torch.no_grad():
        for weights in network.decoder.parameters():
            weights.mul_(8 if weights.ndim == 2 else 1)  # or every picture is the biases' alone
    return network.eval()


@cache
def exported(name: str, labels: int = 1) -> onnx.ModelProto:
    return to_onnx(deployable(a_network(name), decoder=True, labels=labels), NETWORKS[name][0])


def some_images(name: str, count: int) -> NDArray[np.uint8]:
    (height, width, channels), _ = NETWORKS[name]
    images = patchwork(2 + count, 36, channels, seed=5)
    return images[2:, :height, :width]  # on black and white some networks' capsules are equal to the last digits


def run(model: onnx.ModelProto, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """Lengths, poses, and the reconstruction where there is one."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outputs: list[NDArray[np.float32]] = session.run(None, {"image": images})
    return outputs


def exact_drawings(network: CapsNet, images: NDArray[np.uint8], labels: int) -> NDArray[np.float64]:
    """Each of the longest capsules through the decoder, in float64, as [images, labels, channels, pixels]."""
    lengths, poses = exact_lengths(network, images), exact_poses(network, images)  # now it is in float64
    assert network.decoder is not None
    weights = [each.detach().numpy() for each in network.decoder.parameters()]
    drawings = []
    for length, pose in zip(lengths, poses, strict=True):
        longest = sorted(range(len(length)), key=lambda label: -length[label])[:labels]
        for label in longest:
            values = np.zeros(pose.shape)
            values[label] = pose[label]
            values = values.ravel()
            for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                values = np.maximum(weight @ values + bias, 0)
            drawings.append(1 / (1 + np.exp(-(weights[-2] @ values + weights[-1]))))
    return np.array(drawings).reshape(len(images), labels, images.shape[3], -1)


@pytest.mark.parametrize(("name", "labels"), CASES)
def test_the_file_draws_the_longest_capsules(name: str, labels: int) -> None:
    (height, width, channels), _ = NETWORKS[name]
    side = (24, 24) if "cropped" in name else (height, width)
    images = some_images(name, 40)

    lengths, _, drawn = run(exported(name, labels), images)

    several = (labels,) if labels > 1 else ()
    assert output_shapes(exported(name, labels))["reconstruction"] == drawn.shape[1:]
    assert drawn.dtype == np.float32
    assert drawn.shape == (40, *several, *side, channels)
    assert len(set(lengths.argmax(axis=1).tolist())) > 1  # one class for all would prove no mask
    assert drawn.std(axis=0).mean() > 1e-3
    wanted = exact_drawings(a_network(name), images, labels).transpose(0, 1, 3, 2).reshape(drawn.shape)
    np.testing.assert_allclose(drawn, wanted, atol=2e-5)


@pytest.mark.parametrize("name", ["l1 in colour", "frozen, cropped"])
def test_a_decoder_that_has_learned_one_image_gives_it_back_upright_and_in_its_colours(name: str) -> None:
    network, shape = a_network(name), NETWORKS[name][0]
    rows, columns = (24, 24) if "cropped" in name else shape[:2]
    picture = np.random.default_rng(0).random((rows, columns, shape[2])) * 0.9 + 0.05
    # Training flattens images in the order of torch: all of the first channel comes first.
    target = torch.from_numpy(picture).permute(2, 0, 1).flatten()
    assert network.decoder is not None
    last = network.decoder.layers[-2]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.logit(target))

    _, _, drawn = run(to_onnx(deployable(network, decoder=True), shape), some_images(name, 4))

    np.testing.assert_allclose(drawn, np.broadcast_to(picture, drawn.shape), atol=1e-5)


# Four capsules of two components each, and their classes from the longest on.
CAPSULES = [
    ([[0, 9], [50, 0], [0, 99], [70, 3]], [2, 3, 1, 0]),  # all differ
    ([[1, 0], [30, 80], [80, 30], [2, 2]], [1, 2, 3, 0]),  # two are the longest
    ([[9, 200], [80, 30], [2, 2], [30, 80]], [0, 1, 3, 2]),  # two are the second
    ([[1, 7], [7, 1], [7, 1], [1, 7]], [0, 1, 2, 3]),  # all are equal
]


class PixelsAsCapsules(nn.Module):
    """Four capsules of two components, which are the image's pixels: a test chooses what is the longest."""

    def forward(self, images: Float[Tensor, "batch 1 4 2"]) -> Float[Tensor, "batch 4 2"]:
        return images[:, 0] * 4


def row_for_each_class(labels: int) -> LongestDecoder:
    """A decoder for four classes, each of which lights up a row of two pixels."""
    decoder = Decoder(inputs=8, hidden=(), pixels=8)
    layer = decoder.layers[0]
    assert isinstance(layer, nn.Linear)
    with torch.no_grad():
        layer.weight.copy_(torch.kron(torch.eye(4), torch.ones(2, 2)))
        layer.bias.zero_()
    return LongestDecoder(decoder, labels=labels, channels=1).eval()


@torch.no_grad()
def test_classes_of_no_length_are_drawn_once_each() -> None:
    drawn = row_for_each_class(3)(torch.tensor([[0.0, 0.5, 0.0, 0.0]]), torch.ones(1, 4, 2), (4, 2, 1))
    assert (drawn[0] != 0.5).any(dim=2).squeeze(2).int().argmax(dim=1).tolist() == [1, 0, 2]


@pytest.mark.parametrize("labels", [1, 2, 3])
def test_of_capsules_of_one_length_the_first_is_drawn(labels: int) -> None:
    module = Deployable(PixelsAsCapsules(), row_for_each_class(labels)).eval()
    pixels, longest = zip(*CAPSULES, strict=True)

    _, _, drawn = run(to_onnx(module, (4, 2, 1)), np.array(pixels, np.uint8)[..., None])

    lit = drawn.reshape(len(CAPSULES), labels, 4, 2) != 0.5
    assert (lit.sum(axis=(2, 3)) == 2).all()
    assert lit.any(axis=3).argmax(axis=2).tolist() == [order[:labels] for order in longest]


def test_a_network_without_a_decoder_draws_nothing_and_says_so_in_one_line() -> None:
    network = build_network(tiny_recipe("network.decoder=[]"), classes=3, shape=GREY)
    with pytest.raises(WrongUse, match=r"trained without a decoder.*--set 'network\.decoder=\[512, 1024\]'") as told:
        deployable(network, decoder=True)
    assert "\n" not in str(told.value)


def test_each_layer_of_the_decoder_is_one_gemm_and_nothing_is_transposed() -> None:
    graph = exported("l1 in colour", 2).graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("Gemm") == 4
    assert operators.count("Transpose") == 2  # the images' own, and the one behind the primary capsules
    assert "MatMul" not in operators
    weights = {tensor.name for tensor in graph.initializer}
    assert {f"decoder.layers.{layer}.weight" for layer in (0, 2, 4)} <= weights


@pytest.mark.parametrize("name", ["l2", "dynamic in colour"])
def test_without_the_reconstruction_the_file_is_that_of_a_network_which_never_had_a_decoder(name: str) -> None:
    network, shape = a_network(name), NETWORKS[name][0]
    bare = a_network(name)
    bare.decoder = None

    without = to_onnx(deployable(network), shape)

    assert [output.name for output in without.graph.output] == ["lengths", "poses"]
    assert without.SerializeToString(deterministic=True) == to_onnx(deployable(bare), shape).SerializeToString(
        deterministic=True
    )


def test_the_reconstruction_leaves_lengths_and_poses_as_they_were() -> None:
    images = some_images("l2", 8)
    plain = run(to_onnx(deployable(a_network("l2")), GREY), images)
    for one, two in zip(plain, run(exported("l2"), images)[:2], strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_session_gives_the_reconstruction(tmp_path: Path) -> None:
    file, drawing = tmp_path / "model.onnx", drawing_file(tmp_path)
    with open_session(drawing) as session:
        outputs = session.run(random_images(3))
    assert outputs.reconstruction is not None
    assert outputs.reconstruction.dtype == np.float32
    np.testing.assert_array_equal(outputs.reconstruction, run(onnx.load(drawing), random_images(3))[2])
    with open_session(file) as session:
        assert session.run(random_images(3)).reconstruction is None


def test_a_file_that_lacks_the_reconstruction_it_promises_is_refused(tmp_path: Path) -> None:
    drawing = drawing_file(tmp_path)
    model = onnx.load(drawing)
    del model.graph.output[2]
    onnx.save(model, drawing)
    with (
        open_session(drawing) as session,
        pytest.raises(
            ModelError, match="must give 'lengths' and 'poses' and 'reconstruction', it gives 'lengths', 'poses'"
        ),
    ):
        session.run(random_images(1))


def drawing_file(folder: Path) -> Path:
    """A file with a decoder, beside the model whose contract it has, but for the outputs."""
    save(onnx.load_from_string(small_model(decoder=False)), folder / "model.onnx")
    contract = contract_in(folder / "model.onnx")
    contract = msgspec.structs.replace(contract, outputs=("lengths", "poses", "reconstruction"))
    save_with_contract(onnx.load_from_string(small_model(decoder=True)), contract, folder / "drawing.onnx")
    return folder / "drawing.onnx"


def small_model(*, decoder: bool) -> bytes:
    torch.manual_seed(0)
    network = build_network(tiny_recipe("network.decoder=[8]"), classes=10, shape=GREY)
    return bytes(to_onnx(deployable(network, decoder=decoder), GREY).SerializeToString())


@pytest.mark.parametrize(("name", "labels"), [("frozen, cropped", 2), ("dynamic in colour", 1)])
def test_tensorrt_rtx_builds_an_engine_that_draws(name: str, labels: int, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    onnx.save(exported(name, labels), tmp_path / "model.onnx")
    engine = tmp_path / "model.engine"
    job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "model.onnx"), engine=str(engine), batch=(1, 2, 16))

    built = run_worker(job, Built)

    assert built.errors == ()
    assert b"reconstruction" in engine.read_bytes()
