"""Whether an image is like those that a network was trained on, by plain figures of its pixels and by its lengths.

An image's figures are the means of 4 x 4 tiles, a histogram of eight shades (as square roots, so that rare shades
count), contrast, detail, the border's mean, and of colour three more. How far an image is from the training images is
the Mahalanobis distance of these figures. The limit is what all but a few of the validation images keep, and so is
the shortest length of a longest capsule. It knows what noise, blank, inverted and badly exposed images are, and not
what they show: a garment and a digit of like shades are alike to it. docs/images.md has what it finds and misses.
"""

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.contract import Usual

KEPT = 0.996  # of the validation images, by each of the two limits
_FEW = 200  # validation images, below which a share of them is no limit
_MARGIN = 1.25  # times the largest distance of so few
_SHRUNK = 0.1  # of the covariance towards independent figures, against what few images say by chance
_DIGITS = 6
_TILES, _SHADES = 4, 8
_CHUNK = 2000  # images whose figures are computed at once


def usual_of(train: NDArray[np.uint8], validation: NDArray[np.uint8], longest: NDArray[np.floating]) -> Usual:
    """What is usual of images.

    Args:
        train: Training images, uint8 [N, height, width, channels]; a few thousand are enough.
        validation: Images that set the limits, [M, height, width, channels].
        longest: The length of the longest capsule of each of these, [M].
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
    """Which images are unlike those of the training.

    Args:
        images: As the network sees them, uint8 [N, height, width, channels].
        longest: The length of the longest capsule of each, [N].
        usual: What is usual, of images of the same size.
    """
    result: NDArray[np.bool_] = (distances_of(images, usual) > usual.limit) | (longest < usual.shortest)
    return result


def distances_of(images: NDArray[np.uint8], usual: Usual) -> NDArray[np.float64]:
    """The squared Mahalanobis distance of each image's figures from the mean of the training images'."""
    scaled = (figures_of(images) - np.array(usual.mean)) / np.array(usual.scale)
    distances: NDArray[np.float64] = np.einsum("ni,ij,nj->n", scaled, np.array(usual.inverse), scaled)
    return distances


def figures_of(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The figures of each image, [images, figures]."""
    chunks = [images[start : start + _CHUNK] for start in range(0, len(images), _CHUNK)]
    return np.concatenate([_figures(chunk) for chunk in chunks])


def _figures(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    pixels = images / np.float64(255)
    grey = pixels.mean(-1)
    contrast = grey.std((1, 2))
    detail = sum(np.abs(np.diff(grey, axis=axis)).sum((1, 2)) for axis in (1, 2)) / grey[0].size
    border = np.concatenate([grey[:, 0], grey[:, -1], grey[:, 1:-1, 0], grey[:, 1:-1, -1]], axis=1).mean(1)
    # Logarithms, so that a blank image is as far away as a loud one.
    figures = [np.log(contrast + 0.003), np.log((detail + 0.001) / (contrast + 0.003)), contrast, border, detail]
    shades = np.minimum((grey * _SHADES).astype(int), _SHADES - 1)
    figures += [np.sqrt((shades == shade).mean((1, 2))) for shade in range(_SHADES)]
    rows, columns = (np.array_split(np.arange(side), _TILES) for side in grey.shape[1:])
    figures += [
        grey[:, down[0] : down[-1] + 1, across[0] : across[-1] + 1].mean((1, 2))
        for down in rows
        for across in columns
        if len(down) and len(across)
    ]
    if pixels.shape[3] == 3:
        red, green, blue = np.moveaxis(pixels, -1, 0)
        figures += [(red - green).mean((1, 2)), (blue - green).mean((1, 2)), pixels.std(-1).mean((1, 2))]
    return np.stack(figures, axis=1)


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{_DIGITS}g}") for value in values)
