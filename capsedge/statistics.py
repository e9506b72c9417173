"""How sure a measured error, or a difference of two, can be."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000


class MeanSpread(msgspec.Struct, frozen=True):
    """A mean over seeds.

    Attributes:
        mean: The mean.
        spread: Sample standard deviation over the seeds; None of a single one.
        count: How many seeds.
    """

    mean: float
    spread: float | None
    count: int


class Difference(msgspec.Struct, frozen=True):
    """The difference of two errors on the same images.

    Attributes:
        mean: Ours less theirs, as a share of the images.
        low: Lower end of the 95 % interval.
        high: Its upper end.
    """

    mean: float
    low: float
    high: float


def mean_and_spread(values: Sequence[float]) -> MeanSpread:
    """The mean of one value a seed, with their sample standard deviation."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return MeanSpread(float(np.mean(values)), spread, len(values))


def standard_error(error: float, images: int) -> float:
    """Standard error of an error rate that was counted on so many images (binomial)."""
    return float((error * (1 - error) / images) ** 0.5)


def wilson_interval(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of an error rate (Wilson 1927), which holds for few images and for none wrong, too.

    Args:
        wrong: Wrong answers.
        images: All images.
    """
    z = 1.959964
    share, spread = wrong / images, z * z / images
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * (share * (1 - share) / images + spread / images / 4) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def paired_difference(
    ours: Sequence[NDArray[np.bool_]],
    theirs: Sequence[NDArray[np.bool_]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Difference of two errors, paired by image and seed, with a 95 % bootstrap interval over the images.

    The interval tells how far another draw of test images would move the difference. It does not hold how far other
    seeds would: look at the spread over the seeds for that.

    Args:
        ours: The mistakes of each seed, each [images].
        theirs: Those of the other, of the same seeds on the same images.
        resamples: Draws of the bootstrap.
        seed: Of the draws.
    """
    each_image = np.mean([one.astype(float) - two for one, two in zip(ours, theirs, strict=True)], axis=0)
    # Images that differ equally are alike to a resample, which so is one multinomial draw over the few values.
    values, counts = np.unique(each_image, return_counts=True)
    images = len(each_image)
    draws = np.random.default_rng(seed).multinomial(images, counts / images, size=resamples)
    low, high = np.quantile(draws @ values / images, [0.025, 0.975])
    return Difference(float(each_image.mean()), float(low), float(high))
