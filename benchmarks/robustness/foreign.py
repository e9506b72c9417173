"""Images of none of the classes: the length of the longest capsule, and rejection by a threshold on it."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benchmarks.robustness.conditions import random_of
from capsedge.data import Split, load_dataset
from capsedge.errors import DataError

Lengths = NDArray[np.float32]

BLANKS: Mapping[str, int] = {"black": 0, "grey": 128, "white": 255}
NOISE = "noise"  # the name of the noise images in the record
NOISE_IMAGES = 1000
KEPT = 0.95  # share of the validation images that a threshold keeps


def blank_images(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """One image of each of `BLANKS`."""
    return np.stack([np.full(shape, value, np.uint8) for value in BLANKS.values()])


def noise_images(shape: tuple[int, int, int], *, seed: int) -> NDArray[np.uint8]:
    """Images of independent values, uniform in 0 to 255."""
    return random_of(seed, "noise images").randint(256, size=(NOISE_IMAGES, *shape)).astype(np.uint8)


def foreign_images(source: str, shape: tuple[int, int, int]) -> Split:
    """The test images of another data set, fitted to `shape`.

    Raises:
        WrongUse: There is no such data set.
        DataError: The data set is damaged, or has another number of channels.
    """
    dataset = load_dataset(source, size=shape[0] if shape[0] == shape[1] else 0)
    if dataset.shape != shape:
        wanted, given = (" x ".join(map(str, sides)) for sides in (shape, dataset.shape))
        raise DataError(f"expected foreign images of {wanted} like the test images, got {given} in '{source}'")
    return dataset.test


def auroc(own: Lengths, foreign: Lengths) -> tuple[float, float | None]:
    """The probability that an image of a class has a longer capsule than a foreign one; ties count half.

    Args:
        own: The longest length of each image of a class.
        foreign: The longest length of each foreign image.

    Returns:
        The area under the ROC curve, and its standard error (DeLong et al. 1988); None if a side has a single image.
    """
    ours, theirs = _share_below(own, foreign), 1 - _share_below(foreign, own)
    if min(len(own), len(foreign)) < 2:
        return float(ours.mean()), None
    variance = ours.var(ddof=1) / len(own) + theirs.var(ddof=1) / len(foreign)
    return float(ours.mean()), float(variance**0.5)


def threshold(validation: Lengths) -> float:
    """The largest length that the longest capsule reaches on at least `KEPT` of the validation images."""
    dropped = math.floor(round((1 - KEPT) * len(validation), 6))
    return float(np.sort(validation)[dropped])


def _share_below(values: Lengths, others: Lengths) -> NDArray[np.float64]:
    """For each value the share of others that are smaller, computed from ranks; ties count half."""
    ordered = np.sort(others)
    ranks = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return ranks / (2 * len(others))
