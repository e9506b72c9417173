"""Whether an image resembles the training images, by statistics of its pixels and by its longest capsule.

The statistics of an image are the means of 4 x 4 tiles, a histogram of eight grey levels (as square roots, so that
rare levels count), contrast, detail, the mean of the border, and three more for colour. The distance of an image from
the training images is the Mahalanobis distance of these statistics. Its limit, and the limit on the length of the
longest capsule, are set so that all but a few of the validation images pass. This detects noise, blank, inverted and
badly exposed images, but not other content: a garment and a digit with similar grey levels are not told apart.
docs/images.md lists what it finds and misses.
"""

from functools import lru_cache

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.contract import Usual

KEPT = 0.996  # share of the validation images that pass each of the two limits
_FEW = 200  # with fewer validation images, a quantile is no reliable limit
_MARGIN = 1.25  # factor on the largest distance, with so few images
_SHRUNK = 0.1  # shrinkage of the covariance towards independent statistics, against chance correlations
_DIGITS = 6
_TILES, _SHADES = 4, 8
_CHUNK = 2000  # images whose statistics are computed at once


def usual_of(train: NDArray[np.uint8], validation: NDArray[np.uint8], longest: NDArray[np.floating]) -> Usual:
    """Compute the statistics of the training images and the limits.

    Args:
        train: Training images, uint8 [N, height, width, channels]; a few thousand are enough.
        validation: Images that set the limits, [M, height, width, channels].
        longest: Length of the longest capsule of each validation image, [M].
    """
    figures = figures_of(train)
    mean, scale = figures.mean(0), figures.std(0) + 1e-3
    scaled = (figures - mean) / scale
    covariance = np.atleast_2d(np.cov(scaled.T)) if len(train) > 1 else np.eye(len(mean))
    inverse = np.linalg.inv((1 - _SHRUNK) * covariance + _SHRUNK * np.eye(len(mean)))
    found = Usual(
        mean=_rounded(mean), scale=_rounded(scale), inverse=tuple(map(_rounded, inverse)), limit=0, shortest=0
    )
    distances = distances_of(validation, found)
    few = len(validation) < _FEW
    limit = _MARGIN * distances.max() if few else np.quantile(distances, KEPT)
    shortest = longest.min() / _MARGIN if few else np.quantile(longest, 1 - KEPT)
    limit, shortest = _rounded(np.array([limit, shortest]))
    return replace(found, limit=limit, shortest=shortest)


def unlike(images: NDArray[np.uint8], longest: NDArray[np.floating], usual: Usual) -> NDArray[np.bool_]:
    """Which images are unlike the training images.

    Args:
        images: Fitted to the network's input, uint8 [N, height, width, channels].
        longest: Length of the longest capsule of each, [N].
        usual: The contract's statistics of images of the same size.
    """
    result: NDArray[np.bool_] = (distances_of(images, usual) > usual.limit) | (longest < usual.shortest)
    return result


def distances_of(images: NDArray[np.uint8], usual: Usual) -> NDArray[np.float64]:
    """Squared Mahalanobis distance of each image's statistics from the mean of the training images, [N]."""
    mean, scale, inverse = _arrays(usual)
    scaled = (figures_of(images) - mean) / scale
    distances: NDArray[np.float64] = ((scaled @ inverse) * scaled).sum(1)
    return distances


@lru_cache(maxsize=8)
def _arrays(usual: Usual) -> tuple[NDArray[np.float64], ...]:
    """Mean, scale and inverse as arrays: making them takes as long as the statistics of an image."""
    return np.array(usual.mean), np.array(usual.scale), np.array(usual.inverse)


def figures_of(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Statistics of each image, [images, statistics]."""
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return np.concatenate([_figures(chunk) for chunk in chunks])


def _figures(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = images / np.float64(255)
    grey = pixels[..., 0] if pixels.shape[3] == 1 else pixels.mean(-1)
    count, area = len(grey), grey[0].size
    contrast = grey.std((1, 2))
    detail = sum(np.abs(np.diff(grey, axis=axis)).sum((1, 2)) for axis in (1, 2)) / area
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], axis=1).mean(1)
    # Logarithms, so that an image without contrast is as far away as one with high contrast.
    figures = [np.log(contrast + 0.003), np.log((detail + 0.001) / (contrast + 0.003)), contrast, border, detail]
    if pixels.shape[3] == 3:
        red, green, blue = np.moveaxis(pixels, -1, 0)
        colour = [(red - green).mean((1, 2)), (blue - green).mean((1, 2)), pixels.std(-1).mean((1, 2))]
    else:
        colour = []
    shades = np.minimum((grey * _SHADES).astype(np.intp), _SHADES - 1) + _SHADES * np.arange(count)[:, None, None]
    histogram = np.bincount(shades.ravel(), minlength=count * _SHADES).reshape(count, _SHADES) / area
    return np.concatenate(
        [np.stack(figures, 1), np.sqrt(histogram), _tiles(grey), *(each[:, None] for each in colour)], 1
    )


def _tiles(grey: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of each tile, [images, tiles], row by row; small images have fewer tiles."""
    heights, widths = (_divided(side) for side in grey.shape[1:])
    sums = np.add.reduceat(
        np.add.reduceat(grey, heights.cumsum() - heights, axis=1), widths.cumsum() - widths, axis=2
    )
    means: NDArray[np.float64] = (sums / np.multiply.outer(heights, widths)).reshape(len(grey), -1)
    return means


def _divided(side: int) -> NDArray[np.intp]:
    """Sides of the tiles along a side of the image, in pixels: as equal as possible, longer ones first."""
    sides = np.array([(side + _TILES - 1 - position) // _TILES for position in range(_TILES)])
    return sides[sides > 0]


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
