"""Finding what an image shows: where it stands out from an even background, and how far its shades reach.

A digit in the corner of a sheet and one that fills its frame become the same input by this, and so do faint ink and
black. Both are parts of the fit (`capsedge.fit.Fit`), so that training and inference see alike.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Number = TypeVar("Number", np.uint8, np.int64)
Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the image; may hang over its edges

_SIDE = 128  # pixels of the longer side that are looked at; the mean of what falls into one takes most noise away
_SHARE = 0.7  # of the frame that a figure fills: 20 of 28 pixels, as in MNIST
_LEAST, _OF_NOISE = 24, 5  # of 255, and of the background's deviation: what a figure must stand out by
_PEAK = 8  # so many pixels must be so far from the background: a thin stroke an eighth of the sheet high
_NEIGHBOURS = 3  # of nine pixels that stand out together; a speck alone is none
_TAILS = 2, 98
_FLAT = 32  # of 255 between the tails; what has less is even, and its noise is not to be blown up
_EVEN, _ALIKE = 0.9, 32  # share of the outermost pixels, and how far these may be from their median
_WITHIN, _NORMAL = 95, 1.96  # percent of a normal distribution, and within how many deviations they are


class Figure(NamedTuple):
    """What stands out from the background.

    Attributes:
        box: The part of the image to show, of the frame's aspect, with the figure in its middle.
        background: Median of the image's outermost pixels, a channel each.
        distance: What stands out is at least so far from the background.
        darker: Whether most of it is darker than the background.
    """

    box: Box
    background: tuple[int, ...]
    distance: float
    darker: bool


def find_figure(image: Image.Image, height: int, width: int) -> Figure | None:
    """Find what stands out from the background, or None where nothing does.

    The image is made smaller (128 pixels on its longer side, each the mean of what falls into it). A pixel stands out
    if a channel of it is at least half as far from the background as the eighth farthest, and two of its neighbours
    are so too. That eighth must be off by 24, and by five deviations of the background. The box around all that stand
    out fills 0.7 of the frame in the direction that it fills most. A figure that is lower than a tenth of the image's
    longer side may have fewer than eight pixels then, and is not found.

    Args:
        image: Grey or RGB.
        height: Of the frame that the figure is for, in any unit.
        width: Likewise.
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
    """Whether something stands out from a background that is nearly all of one colour."""
    border = outermost(_planes(_smaller(image, (0, 0, *image.size))))
    even = (np.abs(border - np.median(border, axis=0)) <= _ALIKE).all(axis=1).mean() >= _EVEN
    return bool(even) and find_figure(image, 1, 1) is not None


def full_levels(image: Image.Image, figure: Figure | None) -> list[int] | None:
    """The new value of each of 256 shades, so that they reach from black to white; None for an image of one shade.

    The darkest and the lightest 2 % become 0 and 255, and what lies between is spread evenly; of colour all channels
    together, and each is changed alike, so that colours stay apart. Where a grey image has a figure, only what its
    box shows counts: the background becomes 0 or 255, and what stands out reaches from it to the other end.

    Args:
        image: Grey or RGB.
        figure: What stands out, if anything does.
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
    """The shades that become black and white: the background, and the far end of 98 % of what stands out."""
    lighter, darker = shades[shades >= background + distance], shades[shades <= background - distance]
    if len(lighter) >= len(darker):
        return background, float(np.percentile(lighter, _TAILS[1])) if len(lighter) else background
    return float(np.percentile(darker, _TAILS[0])), background


def outermost(pixels: NDArray[Number]) -> NDArray[Number]:
    """The outermost pixels of [height, width] or [height, width, channels]."""
    return np.concatenate([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])


def within(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in an image of width and height `size`."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)


def _smaller(image: Image.Image, box: Box) -> Image.Image:
    """A part of an image, with 128 pixels on its longer side at most."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, _SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.BOX, box=box)


def _planes(image: Image.Image) -> NDArray[np.int64]:
    pixels = np.asarray(image).astype(np.int64)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have two neighbours in it."""
    height, width = mask.shape
    around = np.pad(mask, 1).astype(np.int64)
    count = sum(around[down : down + height, right : right + width] for down in range(3) for right in range(3))
    return mask & (count >= _NEIGHBOURS)
