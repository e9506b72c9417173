"""Dark on light or light on dark: the rule, on drawings, photographs and the real images that ship with capsedge."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import capsedge
from capsedge.data.idx import read_idx
from capsedge.data.images import Exchanges, Turning, background_of, fitted_both_ways, turning, wants_dark_background
from capsedge.fit import Fit

SUBSET = Path(capsedge.__file__).parent / "data" / "fashion-mnist-subset"


@pytest.fixture(scope="module")
def shipped() -> NDArray[np.uint8]:
    """All 3,000 real images of the shipped subset."""
    parts = [read_idx(SUBSET / f"{part}-images-idx3-ubyte.gz") for part in ("train", "t10k")]
    return np.concatenate(parts)


def drawing(background: int, ink: int, size: tuple[int, int] = (100, 80)) -> Image.Image:
    """A disc in the middle."""
    width, height = size
    x, y = np.meshgrid(np.arange(width) - width / 2, np.arange(height) - height / 2)
    return Image.fromarray(np.where(np.hypot(x, y) < min(size) / 4, ink, background).astype(np.uint8))


def test_no_shipped_image_is_taken_for_dark_on_light(shipped: NDArray[np.uint8]) -> None:
    assert len(shipped) == 3000
    assert sum(background_of(Image.fromarray(image)).kind == "light" for image in shipped) == 0


def test_nearly_all_shipped_images_are_found_when_they_are_inverted(shipped: NDArray[np.uint8]) -> None:
    assert sum(background_of(Image.fromarray(255 - image)).kind == "light" for image in shipped) >= 0.998 * 3000


@pytest.mark.parametrize(
    ("background", "ink", "expected"),
    [(255, 0, True), (190, 60, True), (0, 255, False), (120, 20, False), (255, 255, False), (160, 40, False)],
)
def test_a_drawing_is_dark_on_light_if_its_background_is_light_and_its_ink_is_not(
    background: int, ink: int, expected: bool
) -> None:
    assert (background_of(drawing(background, ink)).kind == "light") is expected
    assert (background_of(drawing(background, ink, (28, 28)).convert("RGB")).kind == "light") is expected


def test_a_light_background_that_is_not_even_is_a_photographs() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (32, 32)) * 130 + 120
    noise[8:24, 8:24] = 0
    assert background_of(Image.fromarray(noise.astype(np.uint8))).kind != "light"
    even = np.full((32, 32), 250, np.uint8)
    even[8:24, 8:24] = 0
    assert background_of(Image.fromarray(even)).kind == "light"


def test_a_network_wants_a_dark_background_if_its_grey_sample_has_one(shipped: NDArray[np.uint8]) -> None:
    sample = shipped[::150, ..., np.newaxis]
    assert wants_dark_background(sample)
    assert not wants_dark_background(255 - sample)
    assert not wants_dark_background(np.repeat(sample, 3, axis=3))
    assert not wants_dark_background(sample[:0])


@pytest.mark.parametrize(("paper", "ink"), [(190, 40), (215, 60), (237, 20), (255, 0)])
def test_a_thin_stroke_that_hardly_moves_the_mean_is_dark_on_light(paper: int, ink: int) -> None:
    """A "1" of two pixels' width, loosely framed, on paper with mild noise."""
    noise = np.random.default_rng(0).normal(0, 4, (100, 100))
    pixels = paper + noise
    pixels[33:66, 49:51] = ink + noise[33:66, 49:51]
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    assert background_of(image).kind == "light"
    assert background_of(Image.fromarray((paper + noise).clip(0, 255).astype(np.uint8))).kind != "light", (
        "nothing is on it"
    )
    assert background_of(Image.fromarray(255 - np.asarray(image))).kind != "light"


def shadowed() -> Image.Image:
    """A dark disc on a sheet that half lies in the shadow: its border is neither even nor dark."""
    pixels = np.asarray(drawing(230, 30)).astype(float)
    return Image.fromarray((pixels * np.linspace(0.45, 1, pixels.shape[1])).astype(np.uint8))


@pytest.mark.parametrize("share", [8, 10])
def test_a_small_thing_on_a_large_sheet_is_dark_on_light(share: int) -> None:
    pixels = 235 + np.random.default_rng(0).normal(0, 4, (400, 400))
    pixels[60 : 60 + 400 // share, 300:305] = 40
    assert background_of(Image.fromarray(pixels.clip(0, 255).astype(np.uint8))).kind == "light"
    pixels[60 : 60 + 400 // share, 300:305] = 255
    assert background_of(Image.fromarray(pixels.clip(0, 255).astype(np.uint8))).kind is None, "it is lighter"


def test_an_image_that_is_unclear_alone_follows_those_that_are_clear() -> None:
    sheets, objects = [drawing(230, 30)] * 4, [drawing(10, 200)] * 4
    assert [background_of(each).kind for each in (sheets[0], shadowed(), objects[0])] == ["light", None, "dark"]
    unclear = background_of(shadowed())
    for sample, expected in (((), False), (sheets, True), (objects, False), (sheets + objects[:2], False)):
        assert turning("auto", dark_background=True, sample=map(background_of, sample)).turns(unclear) is expected
    among_sheets = turning("auto", dark_background=True, sample=map(background_of, sheets))
    assert among_sheets.turns(background_of(sheets[0]))
    assert not among_sheets.turns(background_of(objects[0])), "a clear one speaks for itself"
    assert not among_sheets.turns(background_of(Image.new("L", (80, 60), 120))), "nothing dark is on it"
    assert not turning("auto", dark_background=False, sample=map(background_of, sheets)).turns(
        background_of(sheets[0])
    )
    assert turning("yes", dark_background=False).turns(background_of(objects[0]))


def test_an_image_that_waits_for_others_becomes_what_it_would_have_become_at_once() -> None:
    clear = Image.new("LA", (28, 28), (0, 0))
    clear.paste((0, 255), (8, 8, 20, 20))
    for image in (drawing(230, 30), drawing(10, 200), shadowed(), clear):
        waited = fitted_both_ways(image, (28, 28, 1), Fit())
        for decided in (Turning("auto"), Turning("auto", unclear=True), Turning("yes"), Turning("no")):
            (later, turned), (at_once, same) = decided.choose(waited), decided.fitted(image, (28, 28, 1), Fit())
            assert turned is same
            np.testing.assert_array_equal(later, at_once)


def test_images_that_disagree_are_named() -> None:
    seen = Exchanges()
    for number in range(20):
        seen.add(f"{number}.png", turned=True)
    assert (seen.remark(), seen.made) == ("", 20)
    for name in ("a.png", "b.png"):
        seen.add(name, turned=False)
    assert seen.remark() == "light and dark were exchanged in 20 of 22 images, and not in 2: a.png, b.png"
    fewer = Exchanges()
    for number in range(12):
        fewer.add(f"{number}.png", turned=number % 3 == 0)
    assert fewer.remark() == "light and dark were exchanged in only 4 of 12 images: 0.png, 3.png, 6.png, ..."
