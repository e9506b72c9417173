"""Light and dark: whether an image shows something dark on a light ground, and a network wants the opposite."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Invert = Literal["auto", "yes", "no"]

# The rule was measured on all 70,000 images of Fashion-MNIST, as they are and inverted: docs/images.md.
_SIDE = 32
_DARK, _LIGHT = 85, 170  # a third and two thirds of white
_ALIKE = 32
_MOST = 0.6
_CONTRAST = 8
_STROKE, _STROKE_CONTRAST = 5, 32


def is_dark_on_light(image: Image.Image) -> bool:
    """Whether an image shows something dark on an even, light ground.

    The image is made grey and 32 x 32 (the mean of what falls into a pixel). Its outermost pixels are the border. The
    ground is light if their median is 170 or more, and even if 60 % of them lie within 32 of that median. Something
    dark is on it if the mean of the other pixels is lower by 8 or more, or if five of them are lower by 32 or more:
    a thin stroke hardly moves the mean.

    Args:
        image: As `lay_on` gives it, on white where parts of it are transparent.
    """
    pixels = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)).astype(np.int64)
    border = _border(pixels)
    ground = float(np.median(border))
    even = float(np.mean(np.abs(border - ground) <= _ALIKE)) >= _MOST
    inner = pixels[1:-1, 1:-1]
    stroke = np.count_nonzero(inner <= ground - _STROKE_CONTRAST) >= _STROKE
    return ground >= _LIGHT and even and bool(stroke or inner.mean() <= ground - _CONTRAST)


def wants_dark_ground(images: NDArray[np.uint8]) -> bool:
    """Whether a network was trained on light things on a dark ground, as the images of its golden sample show.

    That is so if they are grey, and the median of all their outermost pixels is below 85, a third of white. Images in
    colour are taken as photographs.

    Args:
        images: uint8 [count, height, width, channels].
    """
    if images.shape[3] != 1 or min(images.shape[:3]) < 1:
        return False
    borders = np.concatenate([_border(image[..., 0]) for image in images])
    return float(np.median(borders)) < _DARK


def _border(pixels: NDArray[np.integer]) -> NDArray[np.integer]:
    """The outermost pixels of [height, width]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
