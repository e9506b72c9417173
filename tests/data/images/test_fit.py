"""Fitting: any size and colour becomes the pixels of an input."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.data import fit_image
from capsedge.fit import Fit
from tests.data.images.made import gradient


@pytest.mark.parametrize("frame", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_an_image_of_the_right_size_is_untouched(frame: str, mode: str) -> None:
    channels = 1 if mode == "L" else 3
    fitted = fit_image(gradient(mode), (4, 6, channels), Fit(frame=frame))  # type: ignore[arg-type]
    assert fitted.dtype == np.uint8
    assert fitted.tobytes() == gradient(mode).tobytes()


def test_the_pixels_lie_in_memory_of_their_own() -> None:
    image = gradient("L")
    fitted = fit_image(image, (4, 6, 1), Fit())
    fitted[:] = 0
    assert image.tobytes() == gradient("L").tobytes()


def test_grey_is_made_by_the_luma_of_itu_r_601() -> None:
    red, green, blue = 250, 120, 30
    expected = (299 * red + 587 * green + 114 * blue) / 1000
    fitted = fit_image(Image.new("RGB", (2, 2), (red, green, blue)), (2, 2, 1), Fit())
    assert abs(int(fitted[0, 0, 0]) - expected) <= 0.5


def test_grey_has_three_equal_channels_where_colour_is_wanted() -> None:
    fitted = fit_image(gradient("L"), (4, 6, 3), Fit())
    np.testing.assert_array_equal(fitted, np.repeat(np.asarray(gradient("L"))[..., np.newaxis], 3, axis=2))


def two_tones(width: int, height: int) -> Image.Image:
    """The left half 100, the right half 200."""
    pixels = np.full((height, width), 100, dtype=np.uint8)
    pixels[:, width // 2 :] = 200
    return Image.fromarray(pixels)


def test_padding_keeps_the_aspect_and_centres_on_black() -> None:
    fitted = fit_image(two_tones(8, 4), (4, 4, 1), Fit(resize="nearest", frame="pad"))[..., 0]
    assert fitted.tolist() == [[0] * 4, [100, 100, 200, 200], [100, 100, 200, 200], [0] * 4]
    upright = fit_image(two_tones(2, 4), (4, 4, 1), Fit(resize="nearest", frame="pad"))[..., 0]
    assert upright.tolist() == [[0, 100, 200, 0]] * 4


def test_cropping_fills_the_frame_from_the_middle() -> None:
    pixels = np.repeat(np.array([[10, 20, 30, 40]], dtype=np.uint8), 2, axis=0)
    fitted = fit_image(Image.fromarray(pixels), (2, 2, 1), Fit(resize="nearest", frame="crop"))[..., 0]
    assert fitted.tolist() == [[20, 30]] * 2


def test_stretching_ignores_the_aspect() -> None:
    fitted = fit_image(two_tones(8, 2), (4, 4, 1), Fit(resize="nearest", frame="stretch"))[..., 0]
    assert fitted.tolist() == [[100, 100, 200, 200]] * 4


def test_halving_by_the_bilinear_filter_is_its_triangle_of_twice_the_width() -> None:
    row = np.array([[0, 10, 20, 250, 30, 40, 50, 60]], dtype=np.uint8)
    fitted = fit_image(Image.fromarray(row), (1, 4, 1), Fit(frame="stretch"))[0, :, 0]
    # Output i is centred at 2 i + 1; the triangle of half-width 2 weighs the pixels around it 1, 3, 3, 1.
    inner = [
        (1 * row[0, 2 * i - 1] + 3.0 * row[0, 2 * i] + 3.0 * row[0, 2 * i + 1] + row[0, 2 * i + 2]) / 8
        for i in (1, 2)
    ]
    np.testing.assert_allclose(fitted[1:3], inner, atol=0.51)


def weights(begin: float, length: float, pixels: int, wanted: int) -> NDArray[np.float64]:
    """Weights of docs/images.md's bilinear filter, [wanted, pixels], for a part of an axis."""
    factor = length / wanted
    places, centres = np.arange(pixels) + 0.5, begin + (np.arange(wanted)[:, None] + 0.5) * factor
    each = np.maximum(0, 1 - np.abs(places - centres) / max(1, factor))
    shares: NDArray[np.float64] = each / each.sum(1, keepdims=True)
    return shares


@pytest.mark.parametrize("frame", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(90, 61), (61, 90), (29, 28), (20, 9), (56, 20)])
def test_docs_images_says_exactly_how_an_image_is_fitted(size: tuple[int, int], frame: str) -> None:
    width, height = size
    pixels = np.random.default_rng(width).integers(0, 256, (height, width), np.uint8)
    found = fit_image(Image.fromarray(pixels), (28, 28, 1), Fit(frame=frame))[..., 0]  # type: ignore[arg-type]
    wide, high = 28, 28
    part = (0.0, 0.0, float(width), float(height))  # left, top, and the size
    if frame == "pad":
        scale = min(28 / width, 28 / height)
        wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    elif frame == "crop":
        side = 28 / max(28 / width, 28 / height)
        part = ((width - side) / 2, (height - side) / 2, side, side)
    rows = np.floor(pixels @ weights(part[0], part[2], width, wide).T + 0.5)
    scaled = np.floor(weights(part[1], part[3], height, high) @ rows + 0.5)
    wanted, left, top = np.zeros((28, 28)), (28 - wide) // 2, (28 - high) // 2
    wanted[top : top + high, left : left + wide] = scaled
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.04  # halves, which Pillow's fixed-point numbers round to either side


@pytest.mark.parametrize("frame", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 7), (29, 28), (101, 67)])
def test_every_frame_gives_the_shape_whatever_the_size(size: tuple[int, int], frame: str) -> None:
    fit = Fit(frame=frame)  # type: ignore[arg-type]
    fitted = fit_image(Image.new("RGB", size, (90, 90, 90)), (28, 28, 3), fit)
    assert fitted.shape == (28, 28, 3)
    assert set(np.unique(fitted).tolist()) <= ({0, 90} if frame == "pad" else {90})
    assert 90 in fitted


def test_inverting_turns_the_image_and_leaves_the_padding_black() -> None:
    fitted = fit_image(two_tones(8, 4), (4, 4, 1), Fit(resize="nearest", frame="pad"), invert=True)[..., 0]
    assert fitted.tolist() == [[0] * 4, [155, 155, 55, 55], [155, 155, 55, 55], [0] * 4]


def test_inverting_colour_turns_each_channel() -> None:
    pixels = np.asarray(gradient()).astype(int)
    np.testing.assert_array_equal(fit_image(gradient(), (4, 6, 3), Fit(), invert=True), 255 - pixels)


def test_what_is_transparent_lies_on_black() -> None:
    image = Image.new("RGBA", (1, 1), (200, 100, 50, 128))
    # 128 / 255 of the luma of (200, 100, 50), which is 124.2
    assert abs(int(fit_image(image, (1, 1, 1), Fit())[0, 0, 0]) - 124.2 * 128 / 255) <= 1
