"""Fitting: an image of any size and colour as the pixels of an input."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from capsedge.contract import Fit
from capsedge.data.images.modes import lay_on, plain, stored


def fit_image(
    image: Image.Image, shape: tuple[int, int, int], fit: Fit, *, invert: bool = False
) -> NDArray[np.uint8]:
    """Turn an image of any size and colour into the pixels of an input.

    Grey is made of colour by the luma of ITU-R 601-2 as Pillow computes it: (299 R + 587 G + 114 B) / 1000. An image
    that already has the size passes untouched.

    Args:
        image: An image as `decode_image` gives it.
        shape: Height, width and channels (1 or 3) of the input.
        fit: The filter, and what happens where the aspects differ.
        invert: Whether light and dark change places, 255 - pixel, before the image is padded: the ground beside it
            stays black.

    Returns:
        uint8 [height, width, channels], in memory of its own.

    Raises:
        ValueError: The image has pixels that `decode_image` would refuse.
    """
    height, width, channels = shape
    laid = lay_on(plain(image, stored(image)))
    coloured = laid.convert("L" if channels == 1 else "RGB")
    if invert:
        coloured = ImageChops.invert(coloured)
    if coloured.size != (width, height):
        coloured = _FRAMES[fit.frame](coloured, (width, height), Image.Resampling[fit.resize.upper()])
    return np.array(coloured, dtype=np.uint8).reshape(shape)


def fit_images(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Fit images [N, height, width, 1 or 3] to a square of `size` pixels with the default fit; 0 keeps their size."""
    if size == 0 or images.shape[1:3] == (size, size):
        return images
    channels = images.shape[3]
    planes = images[..., 0] if channels == 1 else images
    fitted = np.empty((len(images), size, size, channels), dtype=np.uint8)
    for place, plane in enumerate(planes):
        fitted[place] = fit_image(Image.fromarray(plane), (size, size, channels), Fit())
    return fitted


def _stretch(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    return image.resize(size, resize)


def _pad(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    ground = Image.new(image.mode, size)
    ground.paste(image.resize(inner, resize), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return ground


def _crop(image: Image.Image, size: tuple[int, int], resize: Image.Resampling) -> Image.Image:
    scale = max(size[0] / image.width, size[1] / image.height)
    left = max(0.0, (image.width - size[0] / scale) / 2)
    top = max(0.0, (image.height - size[1] / scale) / 2)
    return image.resize(size, resize, box=(left, top, image.width - left, image.height - top))


_FRAMES: dict[str, Callable[[Image.Image, tuple[int, int], Image.Resampling], Image.Image]] = {
    "pad": _pad,
    "crop": _crop,
    "stretch": _stretch,
}
