"""Finding the figure in an image, which stands out from an even background, and the range of its shades.

With these, a digit in the corner of a sheet and one that fills its frame become the same input, and so do faint and
black ink. Both are parts of the fit (`capsedge.fit.Fit`), which training and inference share.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Number = TypeVar("Number", np.uint8, np.int64)
# Left, top, right, bottom, in pixels of the image; may extend beyond its edges.
Box = tuple[float, float, float, float]

_SIDE = 128  # longer side of the reduced image, in pixels; averaging removes most noise
_SHARE = 0.7  # share of the frame that a figure fills: 20 of 28 pixels, as in MNIST
_LEAST, _OF_NOISE = 24, 5  # least contrast of a figure: of 255, and in deviations of the background's noise
_PEAK = 8  # number of pixels that must have the least contrast: a thin stroke an eighth of the sheet high
_NEIGHBOURS = 3  # of nine pixels that must stand out together, so that a single speck does not count
_TAILS = 2, 98  # percentiles
_FLAT = 32  # least range between the tails, of 255; a smaller range is noise, which must not be amplified
_EVEN, _ALIKE = 0.9, 32  # share of the outermost pixels that must be within this distance of their median
_WITHIN, _NORMAL = 95, 1.96  # percent of a normal distribution within this number of standard deviations


class Figure(NamedTuple):
    """The figure in an image: the pixels that stand out from the background.

    Attributes:
        box: The part of the image to show, with the frame's aspect ratio and the figure in its centre.
        background: Median of the image's outermost pixels, one value per channel.
        distance: Least distance of the figure's pixels from the background.
        darker: Whether most of the figure is darker than the background.
    """

    box: Box
    background: tuple[int, ...]
    distance: float
    darker: bool


def find_figure(image: Image.Image, height: int, width: int) -> Figure | None:
    """Find the figure in an image, or return None if nothing stands out from the background.

    The image is reduced by averaging to 128 pixels on its longer side. A pixel stands out if one of its channels is
    at least half as far from the background as the eighth farthest pixel, and the same is true of two of its
    neighbours. The eighth farthest pixel must differ from the background by 24, and by five deviations of its noise.
    The box around all pixels that stand out fills 0.7 of the frame's height or width, whichever it reaches first. A
    figure lower than a tenth of the image's longer side may have fewer than eight pixels and is then not found.

    Args:
        image: Grey or RGB.
        height: Height of the frame for the figure, in any unit.
        width: Width of the frame, in the same unit.
    """
    small = _planes(_smaller(image, (0, 0, *image.size)))
    border = outermost(small)
    background = np.median(border, axis=0)
    distance = np.abs(small - background).max(axis=2)
    farthest = np.partition(distance, -min(_PEAK, distance.size), axis=None)[-min(_PEAK, distance.size)]
    noise = float(np.percentile(np.abs(border - background).max(axis=1), _WITHIN)) / _NORMAL
    if farthest < max(_LEAST, _OF_NOISE * noise):
        return None
    stands_out = _without_specks(distance >= farthest / 2)
    rows, columns = np.flatnonzero(stands_out.any(axis=1)), np.flatnonzero(stands_out.any(axis=0))
    if not len(rows):
        return None
    down, across = image.height / small.shape[0], image.width / small.shape[1]
    top, bottom = rows[0] * down, (rows[-1] + 1) * down
    left, right = columns[0] * across, (columns[-1] + 1) * across
    scale = max((bottom - top) / height, (right - left) / width) / _SHARE
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    half_x, half_y = scale * width / 2, scale * height / 2
    box = middle_x - half_x, middle_y - half_y, middle_x + half_x, middle_y + half_y
    darker = bool(np.median((small - background).mean(axis=2)[stands_out]) < 0)
    return Figure(box, tuple(background.astype(int).tolist()), float(farthest) / 2, darker)


def is_on_even_background(image: Image.Image) -> bool:
    """Whether something stands out from a background of nearly one colour."""
    border = outermost(_planes(_smaller(image, (0, 0, *image.size))))
    even = (np.abs(border - np.median(border, axis=0)) <= _ALIKE).all(axis=1).mean() >= _EVEN
    return bool(even) and find_figure(image, 1, 1) is not None


def full_levels(image: Image.Image, figure: Figure | None) -> list[int] | None:
    """New value of each of the 256 shades, so that they range from black to white; None for an image of one shade.

    The darkest and the lightest 2 % become 0 and 255, and the shades between them are spread linearly. In colour, the
    range is that of all channels together and each channel is changed equally, so that colours stay distinct. In a
    grey image with a figure, only the pixels in its box count: the background becomes 0 or 255, and the figure ranges
    from there to the other end.

    Args:
        image: Grey or RGB.
        figure: The figure in the image, or None.
    """
    shades = np.asarray(_smaller(image, within(figure.box, image.size) if figure else (0, 0, *image.size)))
    low, high = (float(tail) for tail in np.percentile(shades, _TAILS))
    if figure and len(figure.background) == 1:
        low, high = _from_background(shades.astype(np.float64), float(figure.background[0]), figure.distance)
    if high - low < (_LEAST if figure else _FLAT):
        return None
    spread = np.clip(np.round((np.arange(256) - low) * (255 / (high - low))), 0, 255)
    return [int(shade) for shade in spread]


def _from_background(shades: NDArray[np.float64], background: float, distance: float) -> tuple[float, float]:
    """The shades that become black and white: the background, and the far end of 98 % of the figure's pixels."""
    lighter, darker = shades[shades >= background + distance], shades[shades <= background - distance]
    if len(lighter) >= len(darker):
        return background, float(np.percentile(lighter, _TAILS[1])) if len(lighter) else background
    return float(np.percentile(darker, _TAILS[0])), background


def outermost(pixels: NDArray[Number]) -> NDArray[Number]:
    """The outermost pixels of [height, width] or [height, width, channels]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def within(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box within an image of width and height `size`."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)


def _smaller(image: Image.Image, box: Box) -> Image.Image:
    """A part of an image, reduced to at most 128 pixels on its longer side."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, _SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.BOX, box=box)


def _planes(image: Image.Image) -> NDArray[np.int64]:
    pixels = np.asarray(image).astype(np.int64)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask with at least two neighbours in it."""
    height, width = mask.shape
    around = np.pad(mask, 1).astype(np.int64)
    count = sum(around[down : down + height, right : right + width] for down in range(3) for right in range(3))
    return mask & (count >= _NEIGHBOURS)
