"""Uncertainty of error rates and of their differences."""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

_Z = 1.959964  # two-sided 95 % of the normal distribution
_NEAR_CHANCE = 0.8
_CLEARLY_RIGHT = 3.0
_ROUNDING = 1e-9  # 0.8 * 0.9 > 0.72


class MeanSpread(msgspec.Struct, frozen=True):
    """A mean over seeds.

    Attributes:
        mean: The mean.
        spread: Sample standard deviation over the seeds; None for a single seed.
        count: Number of seeds.
    """

    mean: float
    spread: float | None
    count: int


class Difference(msgspec.Struct, frozen=True):
    """The difference of two error rates on the same images.

    Attributes:
        mean: Our error rate minus theirs, as a share of the images.
        low: Lower end of the 95 % interval.
        high: Upper end of the 95 % interval.
    """

    mean: float
    low: float
    high: float


def mean_and_spread(values: Sequence[float]) -> MeanSpread:
    """Mean and sample standard deviation of one value per seed."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return MeanSpread(float(np.mean(values)), spread, len(values))


def standard_error(error: float, images: int) -> float:
    """Standard error of an error rate measured on `images` images (binomial)."""
    return float((error * (1 - error) / images) ** 0.5)


def near_chance(error: float, chance: float) -> bool:
    """Whether a network knows hardly more than random answers do.

    Both must hold: its error is four fifths of theirs or more (Cohen's kappa is 0.2 or less, for classes of equal
    size), and it is right on at most three times as many images. Of 2 classes, 40 % wrong are near chance (50 %), and
    of 10 classes 72 % (90 %). Of 11 classes and more the second condition decides, since kappa asks ever more there:
    of 100 classes 97 % wrong are near chance, and 80 % are not, with 20 times as many right answers as by chance.

    Args:
        error: Share of wrong answers.
        chance: Error of random answers.
    """
    return _has_low_kappa(error, chance) and 1 - error <= _CLEARLY_RIGHT * (1 - chance) + _ROUNDING


def at_chance(error: float, images: int, chance: float) -> bool:
    """Whether an error is no lower than that of random answers, within its 95 % interval.

    Args:
        error: Share of wrong answers.
        images: Number of images; where they are few the interval is wide, so Cohen's kappa must be 0.2 or less too.
        chance: Error of random answers.
    """
    return _has_low_kappa(error, chance) and wilson_interval(round(error * images), images)[1] >= chance


def _has_low_kappa(error: float, chance: float) -> bool:
    return error >= _NEAR_CHANCE * chance - _ROUNDING


def wilson_interval(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of an error rate (Wilson 1927); valid for few images, and for no wrong answer.

    Args:
        wrong: Number of wrong answers.
        images: Number of images.
    """
    share, spread = wrong / images, _Z * _Z / images
    middle = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * (share * (1 - share) / images + spread / images / 4) ** 0.5
    # The ends are 0 and 1 exactly where none or all are wrong; rounding would put them a little inside.
    return max(0.0, middle - half) if wrong else 0.0, min(1.0, middle + half) if wrong < images else 1.0


def paired_difference(ours: Sequence[NDArray[np.bool_]], theirs: Sequence[NDArray[np.bool_]]) -> Difference:
    """Difference of two error rates, paired by image and seed, with a 95 % interval over the images.

    The interval is that of Bonett and Price (2012), "Adjusted Wald confidence interval for a difference of binomial
    proportions based on paired data": the mean and its standard error are computed with two more images, one that
    only the first network answers wrongly and one that only the second does. So it has a width where no image
    differs, and covers the true difference also with few images. With several seeds an image's value is the mean over
    them. The interval does not cover the variation between seeds, which their spread shows.

    Args:
        ours: The mistakes of each seed, each [images].
        theirs: The mistakes of the other network, with the same seeds on the same images.
    """
    each_image = np.mean([one.astype(float) - two for one, two in zip(ours, theirs, strict=True)], axis=0)
    more = np.append(each_image, (1.0, -1.0))
    middle, half = more.mean(), _Z * more.std() / len(more) ** 0.5
    return Difference(float(each_image.mean()), float(max(-1.0, middle - half)), float(min(1.0, middle + half)))
