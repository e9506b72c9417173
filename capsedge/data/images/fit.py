"""Fitting: converting an image of any size and colour to the pixels of an input."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from capsedge.data.images.figure import Box, find_figure, full_levels, within
from capsedge.data.images.modes import lay_on, plain, stored
from capsedge.fit import Fit


def fit_image(
    image: Image.Image, shape: tuple[int, int, int], fit: Fit, *, invert: bool = False
) -> NDArray[np.uint8]:
    """Convert an image of any size and colour to the pixels of an input.

    Colour becomes grey by the luma of ITU-R 601-2 as Pillow computes it: (299 R + 587 G + 114 B) / 1000. An image
    that already has the size is not resized, unless its figure is framed.

    Args:
        image: An image from `decode_image`.
        shape: Height, width and channels (1 or 3) of the input.
        fit: The filter, the framing for other aspect ratios, and the levels.
        invert: Whether to invert the pixels, 255 - pixel, before the image is padded; the padding stays black.

    Returns:
        uint8 [height, width, channels], a new array.

    Raises:
        ValueError: The image has pixels that `decode_image` refuses.
    """
    height, width, channels = shape
    laid = lay_on(plain(image, stored(image)))
    coloured = laid.convert("L" if channels == 1 else "RGB")
    if invert:
        coloured = ImageChops.invert(coloured)
    figure = find_figure(coloured, height, width) if fit.frame == "figure" else None
    levels = full_levels(coloured, figure) if fit.levels == "full" else None
    if levels:
        coloured = coloured.point(levels * channels)
    resize = Image.Resampling[fit.resize.upper()]
    if figure:
        background = tuple(levels[shade] for shade in figure.background) if levels else figure.background
        coloured = _show(coloured, (width, height), resize, figure.box, background)
    elif coloured.size != (width, height):
        coloured = _FRAMES[fit.frame](coloured, (width, height), resize)
    return np.array(coloured, dtype=np.uint8).reshape(shape)


def fit_images(images: NDArray[np.uint8], size: int, fit: Fit) -> NDArray[np.uint8]:
    """Fit images [N, height, width, 1 or 3] to a square of `size` pixels; 0 keeps their height and width."""
    _, height, width, channels = images.shape
    shape = (size or height, size or width, channels)
    if shape == images.shape[1:] and is_plain(fit):
        return images
    planes = images[..., 0] if channels == 1 else images
    fitted = np.empty((len(images), *shape), dtype=np.uint8)
    for place, plane in enumerate(planes):
        fitted[place] = fit_image(Image.fromarray(plane), shape, fit)
    return fitted


def is_plain(fit: Fit) -> bool:
    """Whether a fit leaves images of the right size unchanged."""
    return fit.frame != "figure" and fit.levels == "as-is"


def _stretch(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    return image.resize(size, resize)


def _pad(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    background = Image.new(image.mode, size)
    background.paste(image.resize(inner, resize), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return background


def _crop(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = max(size[0] / image.width, size[1] / image.height)
    left = max(0.0, (image.width - size[0] / scale) / 2)
    top = max(0.0, (image.height - size[1] / scale) / 2)
    return image.resize(size, resize, box=(left, top, image.width - left, image.height - top))


def _show(
    image: Image.Image, size: tuple[int, int], resize: Image.Resampling, box: Box, background: tuple[int, ...]
) -> Image.Image:
    """Show a part of the image; areas beyond its edges are filled with the background."""
    across, down = size[0] / (box[2] - box[0]), size[1] / (box[3] - box[1])
    part = within(box, image.size)
    left, top = round((part[0] - box[0]) * across), round((part[1] - box[1]) * down)
    inner = (
        max(1, min(size[0] - left, round((part[2] - part[0]) * across))),
        max(1, min(size[1] - top, round((part[3] - part[1]) * down))),
    )
    shown = Image.new(image.mode, size, background if len(background) > 1 else background[0])
    shown.paste(image.resize(inner, resize, box=part), (left, top))
    return shown


# An image without a figure is padded as a whole.
_FRAMES: dict[str, Callable[[Image.Image, tuple[int, int], Image.Resampling], Image.Image]] = {
    "pad": _pad,
    "crop": _crop,
    "stretch": _stretch,
    "figure": _pad,
}
