"""Dark on light or light on dark: the rule, on drawings, photographs and the real images that ship with capsedge."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import capsedge
from capsedge.data.idx import read_idx
from capsedge.data.images import is_dark_on_light, wants_dark_ground

SUBSET = Path(capsedge.__file__).parent / "data" / "fashion-mnist-subset"


@pytest.fixture(scope="module")
def shipped() -> NDArray[np.uint8]:
    """All 3,000 real images of the shipped subset."""
    parts = [read_idx(SUBSET / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    return np.concatenate(parts)


def drawing(ground: int, ink: int, size: tuple[int, int] = (100, 80)) -> Image.Image:
    """A disc in the middle."""
    width, height = size
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    return Image.fromarray(np.where(np.hypot(x, y) < min(size) / 4, ink, ground).astype(np.uint8))


def test_no_shipped_image_is_taken_for_dark_on_light(shipped: NDArray[np.uint8]) -> None:
    assert len(shipped) == 3000
    assert sum(is_dark_on_light(Image.fromarray(image)) for image in shipped) == 0


def test_nearly_all_shipped_images_are_found_when_they_are_inverted(shipped: NDArray[np.uint8]) -> None:
    assert sum(is_dark_on_light(Image.fromarray(255 - image)) for image in shipped) >= 0.998 * 3000


@pytest.mark.parametrize(
    ("ground", "ink", "expected"),
    [(255, 0, True), (190, 60, True), (0, 255, False), (120, 20, False), (255, 255, False), (160, 40, False)],
)
def test_a_drawing_is_dark_on_light_if_its_ground_is_light_and_its_ink_is_not(
    ground: int, ink: int, expected: bool
) -> None:
    assert is_dark_on_light(drawing(ground, ink)) is expected
    assert is_dark_on_light(drawing(ground, ink, (28, 28)).convert("RGB")) is expected


def test_a_light_ground_that_is_not_even_is_a_photographs() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (32, 32)) * 130 + 120
    noise[8:24, 8:24] = 0
    assert not is_dark_on_light(Image.fromarray(noise.astype(np.uint8)))
    even = np.full((32, 32), 250, np.uint8)
    even[8:24, 8:24] = 0
    assert is_dark_on_light(Image.fromarray(even))


def test_a_network_wants_a_dark_ground_if_its_grey_sample_has_one(shipped: NDArray[np.uint8]) -> None:
    sample = shipped[::150, ..., np.newaxis]
    assert wants_dark_ground(sample)
    assert not wants_dark_ground(255 - sample)
    assert not wants_dark_ground(np.repeat(sample, 3, axis=3))
    assert not wants_dark_ground(sample[:0])


@pytest.mark.parametrize(("paper", "ink"), [(190, 40), (215, 60), (237, 20), (255, 0)])
def test_a_thin_stroke_that_hardly_moves_the_mean_is_dark_on_light(paper: int, ink: int) -> None:
    """A "1" of two pixels' width, loosely framed, on paper with mild noise."""
    noise = np.random.default_rng(0).normal(0, 4, (100, 100))
    pixels = paper + noise
    pixels[33:66, 49:51] = ink + noise[33:66, 49:51]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    assert is_dark_on_light(image)
    assert not is_dark_on_light(Image.fromarray((paper + noise).clip(0, 255).astype(np.uint8))), "nothing is on it"
    assert not is_dark_on_light(Image.fromarray(255 - np.asarray(image)))
