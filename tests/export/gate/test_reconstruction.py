"""Reconstructions against the network's decoder, in the order of pixels that files have."""

from collections.abc import Callable

import msgspec
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.data import Split
from capsedge.errors import ModelError
from capsedge.export.gate import TOLERANCES, Reference, judge, reference
from capsedge.models import CapsNet, build_network
from capsedge.runtime.session import Outputs
from capsedge.training import Run
from tests.export.sessions import FakeSession, Images, Lie, no_lie
from tests.export.typed_files import contract_in
from tests.tiny import tiny_recipe

FP32 = TOLERANCES["fp32"]
SHAPE = (20, 18, 3)


@pytest.fixture(scope="module")
def network() -> CapsNet:
    torch.manual_seed(0)
    recipe = tiny_recipe("network.decoder=[16]", "routing.sigma=0.5")
    network = build_network(recipe, classes=10, shape=SHAPE).eval()
    assert network.decoder is not None
    for parameter in network.decoder.parameters():  # clear pixels, not all of them 0.5
        parameter.data *= 8
    return network


@pytest.fixture(scope="module")
def contract(exported_once: Run) -> Contract:
    return contract_in(exported_once.path / "model.onnx")


def expecting(network: CapsNet, contract: Contract, labels: int) -> Reference:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (9, *SHAPE), np.uint8)
    true = random.integers(0, 10, 9) if labels == 1 else np.stack([np.arange(9), np.arange(9) + 1], 1)
    return reference(network, msgspec.structs.replace(contract, labels=labels), Split(images, true))


def drawing(network: CapsNet, labels: int) -> Callable[[torch.Tensor, torch.Tensor], NDArray[np.float32]]:
    """The decoder, image by image and pixel by pixel, from the longest capsule down."""
    height, width, channels = SHAPE

    def draw(lengths: torch.Tensor, poses: torch.Tensor) -> NDArray[np.float32]:
        assert network.decoder is not None
        drawn = np.zeros((len(lengths), labels, *SHAPE), np.float32)
        for image, row in enumerate(lengths):
            for place, chosen in enumerate(row.argsort(descending=True)[:labels].tolist()):
                mask = torch.zeros(1, 10)
                mask[0, chosen] = 1
                pixels = network.decoder(poses[image : image + 1], mask)[0].numpy()
                for channel in range(channels):
                    start = channel * height * width
                    drawn[image, place, :, :, channel] = pixels[start : start + height * width].reshape(height, width)
        return drawn if labels > 1 else drawn[:, 0]

    return draw


def judged(
    network: CapsNet, contract: Contract, lie: Lie = no_lie, labels: int = 1
) -> tuple[str, float | None, tuple[str, ...]]:
    expected = expecting(network, contract, labels)
    session = FakeSession(network, None, lie, draw=drawing(network, labels), batch_limits=(1, 9))
    verdict = judge(session, expected, FP32).verdict
    return verdict.status, verdict.largest_reconstruction_difference, verdict.reasons


@pytest.mark.parametrize("labels", [1, 2])
def test_what_the_decoder_draws_of_the_longest_capsules_is_accepted(
    labels: int, network: CapsNet, contract: Contract
) -> None:
    status, difference, reasons = judged(network, contract, labels=labels)
    assert (status, reasons) == ("accepted", ())
    assert difference is not None
    assert difference < 1e-5


@pytest.mark.parametrize("labels", [1, 2])
def test_one_wrong_pixel_is_found(labels: int, network: CapsNet, contract: Contract) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        assert outputs.reconstruction is not None
        if len(images) == 7:
            outputs.reconstruction[-1, ..., 3, 4, 1] += 0.01

    status, difference, reasons = judged(network, contract, lie, labels)
    assert status == "rejected"
    assert difference == pytest.approx(0.01, abs=1e-5)
    assert reasons == ("a pixel of the reconstruction differs by 0.01, more than 0.001",)


def test_two_that_are_drawn_in_the_other_order_are_found(network: CapsNet, contract: Contract) -> None:
    def lie(_: Images, outputs: Outputs) -> None:
        assert outputs.reconstruction is not None
        outputs.reconstruction[:] = outputs.reconstruction[:, ::-1].copy()

    assert judged(network, contract, lie, labels=2)[0] == "rejected"


def test_another_answer_draws_another_class_and_is_not_compared(network: CapsNet, contract: Contract) -> None:
    """Wrong lengths of one image, and a wrong drawing with it: the lengths are what is told of."""

    def lie(_: Images, outputs: Outputs) -> None:
        assert outputs.reconstruction is not None
        outputs.lengths[0, outputs.lengths[0].argmin()] = 2
        outputs.reconstruction[0] = 1

    status, difference, reasons = judged(network, contract, lie)
    assert status == "rejected"
    assert difference is not None
    assert difference < 1e-5
    assert not any("pixel" in reason for reason in reasons)


def test_a_pixel_that_is_nan_is_found(network: CapsNet, contract: Contract) -> None:
    def lie(images: Images, outputs: Outputs) -> None:
        assert outputs.reconstruction is not None
        if len(images) == 1:
            outputs.reconstruction[0, 0, 0, 0] = np.nan

    status, difference, reasons = judged(network, contract, lie)
    assert (status, difference) == ("rejected", None)
    assert "pixels are NaN or infinite" in reasons[0]


def test_a_drawing_of_another_size_is_one_line(network: CapsNet, contract: Contract) -> None:
    expected = expecting(network, contract, 1)
    draw = drawing(network, 1)
    session = FakeSession(network, None, draw=lambda *capsules: draw(*capsules)[:, 1:])
    with pytest.raises(ModelError, match="'fake' must give 1080 pixels for each reconstruction, it gave 1026"):
        judge(session, expected, FP32)


def test_a_file_that_draws_for_a_network_without_a_decoder_is_one_line(network: CapsNet, contract: Contract) -> None:
    plain = build_network(tiny_recipe("network.decoder=[]"), classes=10, shape=SHAPE).eval()
    expected = expecting(plain, contract, 1)
    session = FakeSession(plain, None, draw=lambda lengths, _: np.zeros((len(lengths), *SHAPE), "f"))
    with pytest.raises(ModelError, match="'fake' gives a reconstruction, but the network has no decoder"):
        judge(session, expected, FP32)
