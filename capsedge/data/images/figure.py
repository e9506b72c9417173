"""Finding what an image shows: where it stands out from an even ground, and how far its shades reach.

A digit in the corner of a sheet and one that fills its frame become the same input by this, and so do faint ink and
black. Both are parts of the fit (`capsedge.fit.Fit`), so that training and inference see alike.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the image; may hang over its edges

_SIDE = 128  # pixels of the longer side that are looked at; the mean of what falls into one takes most noise away
_SHARE = 0.7  # of the frame that a figure fills: 20 of 28 pixels, as in MNIST
_LEAST = 24  # of 255 that a figure must stand out by
_PEAK = 99.5
_NEIGHBOURS = 3  # of nine pixels that stand out together; a speck alone is none
_TAILS = 2, 98
_FLAT = 16  # of 255 between the tails; what has less is even, and its noise is not to be blown up


_EVEN, _ALIKE = 0.9, 32  # share of the outermost pixels, and how far these may be from their median


class Figure(NamedTuple):
    """What stands out from the ground.

    Attributes:
        box: The part of the image to show, of the frame's aspect, with the figure in its middle.
        ground: Median of the image's outermost pixels, a channel each.
    """

    box: Box
    ground: tuple[int, ...]


def find_figure(image: Image.Image, height: int, width: int) -> Figure | None:
    """Find what stands out from the ground, or None where nothing does.

    The image is made smaller (128 pixels on its longer side, each the mean of what falls into it). A pixel stands
    out if a channel of it is at least half as far from the ground as the farthest (the 99.5th percentile, 24 or
    more), and two of its neighbours are so too. The box around all that do fills 0.7 of the frame in the direction
    that it fills most.

    Args:
        image: Grey or RGB.
        height: Of the frame that the figure is for, in any unit.
        width: Likewise.
    """
    small = _planes(_smaller(image, (0, 0, *image.size)))
    ground = np.median(_border(small), axis=0)
    distance = np.abs(small - ground).max(axis=2)
    peak = float(np.percentile(distance, _PEAK))
    if peak < _LEAST:
        return None
    stands_out = _without_specks(distance >= peak / 2)
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
    return Figure(box, tuple(ground.astype(int).tolist()))


def is_on_even_ground(image: Image.Image) -> bool:
    """Whether something stands out from a ground that is nearly all of one colour."""
    border = _border(_planes(_smaller(image, (0, 0, *image.size))))
    even = (np.abs(border - np.median(border, axis=0)) <= _ALIKE).all(axis=1).mean() >= _EVEN
    return bool(even) and find_figure(image, 1, 1) is not None


def full_levels(image: Image.Image, figure: Figure | None) -> list[int] | None:
    """The new value of each of 256 shades, so that they reach from black to white; None for an image of one shade.

    The darkest and the lightest 2 % become 0 and 255, and what lies between is spread evenly. Where there is a
    figure, only what its box shows counts, and the ground itself becomes 0 or 255: that of the two which it is nearer
    to.

    Args:
        image: Grey or RGB; of RGB the luma counts, and all channels are changed alike.
        figure: What stands out, if anything does.
    """
    grey = image.convert("L")
    shades = np.asarray(_smaller(grey, within(figure.box, image.size) if figure else (0, 0, *image.size)))
    low, high = (float(tail) for tail in np.percentile(shades, _TAILS))
    if figure:
        ground = float(np.asarray(Image.new(image.mode, (1, 1), _colour(figure.ground)).convert("L"))[0, 0])
        low, high = (ground, high) if ground - low < high - ground else (low, ground)
    if high - low < _FLAT:
        return None
    spread = np.clip(np.round((np.arange(256) - low) * (255 / (high - low))), 0, 255)
    return [int(shade) for shade in spread]


def within(box: Box, size: tuple[int, int]) -> Box:
    """The part of a box that lies in an image of width and height `size`."""
    left, top, right, bottom = box
    return max(0.0, left), max(0.0, top), min(float(size[0]), right), min(float(size[1]), bottom)


def _colour(ground: tuple[int, ...]) -> int | tuple[int, ...]:
    return ground if len(ground) > 1 else ground[0]


def _smaller(image: Image.Image, box: Box) -> Image.Image:
    """A part of an image, with 128 pixels on its longer side at most."""
    width, height = box[2] - box[0], box[3] - box[1]
    scale = min(1.0, _SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return image.resize(size, Image.Resampling.BOX, box=box)


def _planes(image: Image.Image) -> NDArray[np.int64]:
    pixels = np.asarray(image).astype(np.int64)
    return pixels if pixels.ndim == 3 else pixels[..., np.newaxis]


def _border(planes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The outermost pixels, [pixels, channels]."""
    return np.concatenate([planes[0], planes[-1], planes[1:-1, 0], planes[1:-1, -1]])


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask that have two neighbours in it."""
    height, width = mask.shape
    around = np.pad(mask, 1).astype(np.int64)
    count = sum(around[down : down + height, right : right + width] for down in range(3) for right in range(3))
    return mask & (count >= _NEIGHBOURS)
