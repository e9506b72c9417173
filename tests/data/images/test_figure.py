"""What stands out from an even background: found wherever it lies, however large and however faint."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.data.images import fit_image, fit_images
from capsedge.data.images.figure import find_figure, full_levels, is_on_even_background
from capsedge.fit import Fit

FIGURE = Fit(frame="figure", levels="full")
FRAME = (28, 28, 1)


def sheet(
    left: float,
    top: float,
    size: float,
    *,
    paper: float = 0,
    ink: float = 255,
    canvas: tuple[int, int] = (200, 160),
    noise: float = 0,
) -> Image.Image:
    """An "L" of two bars, `size` high and 0.6 of that wide, on a canvas of width and height."""
    y, x = np.mgrid[: canvas[1], : canvas[0]].astype(float)
    upright = (x >= left) & (x < left + 0.2 * size) & (y >= top) & (y < top + size)
    foot = (x >= left) & (x < left + 0.6 * size) & (y >= top + 0.8 * size) & (y < top + size)
    pixels = np.where(upright | foot, ink, paper) + np.random.default_rng(0).normal(0, noise, x.shape)
    return Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))


def expected(dark_ink: bool = False) -> NDArray[np.float64]:
    """The "L" in a frame of 28 x 28, by the definition: 0.7 of the height, in the middle; each pixel its mean."""
    fine = 20
    height = 0.7 * 28
    width = 0.6 * height
    y, x = (np.mgrid[: 28 * fine, : 28 * fine] + 0.5) / fine
    x, y = x - (14 - width / 2), y - (14 - height / 2)
    upright = (x >= 0) & (x < 0.2 * height) & (y >= 0) & (y < height)
    foot = (x >= 0) & (x < width) & (y >= 0.8 * height) & (y < height)
    shown: NDArray[np.float64] = (upright | foot).astype(float).reshape(28, fine, 28, fine).mean(axis=(1, 3)) * 255
    return 255 - shown if dark_ink else shown


@pytest.mark.parametrize(
    "image",
    [
        sheet(70, 30, 100),
        sheet(10, 100, 50),
        sheet(2, 2, 40),  # what the frame shows hangs over two edges
        sheet(70, 30, 100, ink=70),  # faint
        sheet(120, 60, 50, paper=60, ink=200, noise=5),
        sheet(300, 500, 400, canvas=(1200, 1000), noise=20),
    ],
)
def test_a_figure_becomes_the_same_input_wherever_it_lies(image: Image.Image) -> None:
    fitted = fit_image(image, FRAME, FIGURE)[..., 0].astype(float)
    error = np.abs(fitted - expected())
    assert error.mean() < 10  # with 0.62 or 0.78 of the frame instead of 0.7 it is 11.8 or more
    assert np.corrcoef(fitted.ravel(), expected().ravel())[0, 1] > 0.95


def test_dark_figures_on_light_background_stay_so_and_their_background_becomes_white() -> None:
    fitted = fit_image(sheet(10, 100, 50, paper=230, ink=30, noise=3), FRAME, FIGURE)[..., 0].astype(float)
    assert np.abs(fitted - expected(dark_ink=True)).mean() < 10
    assert np.median(fitted[0]) > 245
    turned = fit_image(sheet(10, 100, 50, paper=230, ink=30, noise=3), FRAME, FIGURE, invert=True)[..., 0]
    assert np.abs(turned - expected()).mean() < 10


def test_shades_stay_where_levels_are_as_they_are() -> None:
    fitted = fit_image(sheet(10, 100, 50, paper=60, ink=160), FRAME, Fit(frame="figure"))[..., 0]
    assert (fitted[0] == 60).all(), "beyond the image there is background, not black"
    assert fitted.max() == 160
    assert np.abs(fitted.astype(float) - (60 + expected() * 100 / 255)).mean() < 3


def test_a_speck_is_no_figure_and_nothing_at_all_is_padded() -> None:
    image = sheet(70, 30, 100)
    image.putpixel((3, 3), 255)
    np.testing.assert_array_equal(fit_image(image, FRAME, FIGURE), fit_image(sheet(70, 30, 100), FRAME, FIGURE))
    for blank in (Image.new("L", (200, 100), 90), sheet(0, 0, 0, paper=120, noise=4, canvas=(200, 100))):
        np.testing.assert_array_equal(fit_image(blank, FRAME, FIGURE), fit_image(blank, FRAME, Fit()))


def test_a_figure_that_colour_alone_sets_apart_is_found() -> None:
    pixels = np.full((90, 90, 3), (119, 119, 119), np.uint8)  # the luma of the red below
    pixels[10:40, 40:70] = (255, 60, 60)
    grey = np.asarray(Image.fromarray(pixels).convert("L")).astype(int)
    assert np.ptp(grey) < 8
    fitted = fit_image(Image.fromarray(pixels), (20, 20, 3), Fit(frame="figure"))
    assert fitted[4:16, 4:16].reshape(-1, 3).tolist() == [[255, 60, 60]] * 144
    assert fitted[:2].reshape(-1, 3).tolist() == [[119, 119, 119]] * 40


def test_full_levels_reach_from_the_darkest_to_the_lightest_fiftieth() -> None:
    shades = np.linspace(40, 140, 10_000).reshape(100, 100).round().astype(np.uint8)
    low, high = np.percentile(shades, (2, 98))
    wanted = np.clip(np.round((shades.astype(float) - low) * 255 / (high - low)), 0, 255)
    fitted = fit_image(Image.fromarray(shades), (100, 100, 1), Fit(levels="full"))[..., 0]
    np.testing.assert_array_equal(fitted, wanted)
    even = Image.fromarray((90 + np.arange(100).reshape(10, 10) % 7).astype(np.uint8))
    np.testing.assert_array_equal(fit_image(even, (10, 10, 1), Fit(levels="full")), np.asarray(even)[..., None])


def test_images_of_the_right_size_are_framed_too() -> None:
    image = np.asarray(sheet(5, 4, 14, canvas=(28, 28)))[np.newaxis, ..., np.newaxis]
    fitted = fit_images(image, 0, FIGURE)
    assert fitted.shape == (1, 28, 28, 1)
    assert np.corrcoef(fitted[0, ..., 0].ravel(), expected().ravel())[0, 1] > 0.95
    assert fit_images(image, 28, Fit()) is image


def test_drawings_are_on_even_background_and_photographs_are_not() -> None:
    random = np.random.default_rng(0)
    scene = Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).resize((96, 96), Image.Resampling.BICUBIC)
    assert is_on_even_background(sheet(70, 30, 100, paper=200, ink=40, noise=6))
    assert not is_on_even_background(scene)
    assert not is_on_even_background(Image.new("L", (50, 50), 200))


@pytest.mark.parametrize("share", [0.25, 0.2, 0.15])
def test_a_small_thin_figure_is_found(share: float) -> None:
    """A stroke of a hundredth of the sheet, as a pen makes it, covers far less than a percentile shows."""
    side = 400
    pixels = np.full((side, side), 230.0)
    height = int(share * side)
    pixels[40 : 40 + height, 300:304] = 40
    noise = np.random.default_rng(0).normal(0, 4, pixels.shape)
    image = Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))
    fitted = fit_image(image, FRAME, FIGURE)[..., 0].astype(int)
    inked = np.flatnonzero((fitted < 150).any(axis=1))
    assert inked[0] in (3, 4, 5)
    assert inked[-1] in (22, 23, 24)
    assert fitted.min() < 140, "a stroke of less than a pixel is still dark"
    assert (fitted[:, :10] > 240).all()


def test_noise_on_blank_paper_is_neither_framed_nor_blown_up() -> None:
    for sigma in (4, 8, 12):
        noise = np.random.default_rng(0).normal(0, sigma, (48, 48))
        blank = Image.fromarray((200 + noise).clip(0, 255).astype(np.uint8))
        assert find_figure(blank, 28, 28) is None
    assert full_levels(Image.fromarray((200 + noise / 3).astype(np.uint8)), None) is None


def test_colours_stay_apart_where_levels_are_full() -> None:
    pixels = np.full((60, 60, 3), 128, np.uint8)
    pixels[10:30, 10:30] = (230, 120, 40)
    pixels[30:50, 30:50] = (250, 90, 110)
    fitted = fit_image(Image.fromarray(pixels), (60, 60, 3), Fit(levels="full")).astype(int)
    orange, rose = fitted[20, 20], fitted[40, 40]
    assert np.abs(orange - rose).max() > 60
    assert orange.argmin() == 2
    assert rose.argmin() == 1
