"""The statistics against sums done by hand, exact distributions and resampling image by image."""

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest

from capsedge.statistics import (
    at_chance,
    mean_and_spread,
    near_chance,
    paired_difference,
    standard_error,
    wilson_interval,
)


def test_mean_and_spread_are_the_textbook_s_and_one_seed_has_no_spread() -> None:
    values = [0.070, 0.075, 0.068]
    mean = sum(values) / 3
    got = mean_and_spread(values)
    assert got.mean == pytest.approx(mean)
    assert got.spread == pytest.approx(sqrt(sum((value - mean) ** 2 for value in values) / 2))
    assert got.count == 3
    assert mean_and_spread([0.07]).spread is None


def test_the_standard_error_of_ten_thousand_images_is_a_quarter_of_a_point() -> None:
    assert standard_error(0.07, 10_000) == pytest.approx(0.00255, abs=1e-5)


@pytest.mark.parametrize(
    ("classes", "least"),
    [
        (2, 0.4),  # kappa 0.2: 1 - 0.4 / 0.5
        (3, 8 / 15),  # kappa 0.2: 0.8 * 2 / 3
        (10, 0.72),  # kappa 0.2: 0.8 * 0.9
        (100, 0.97),  # three times as many right as 1 of 100; kappa 0.2 would be 79.2 % wrong
    ],
)
def test_near_chance_is_little_better_than_random_answers_of_any_number_of_classes(
    classes: int, least: float
) -> None:
    chance = 1 - 1 / classes
    assert near_chance(least, chance)
    assert near_chance(chance, chance)
    assert near_chance(1, chance)
    assert not near_chance(least - 1e-6, chance)


def test_at_chance_is_within_the_interval_of_the_images() -> None:
    """One right of 20 is what random answers among 100 classes reach with a probability of 18 %."""
    assert at_chance(0.95, 20, 0.99)
    assert not at_chance(0.95, 2000, 0.99)
    assert not at_chance(0.3, 10, 0.5)  # 3 of 10 wrong: the interval holds 0.5, and kappa is 0.4


@pytest.mark.parametrize(("wrong", "images"), [(0, 20), (1, 20), (10, 20), (20, 20), (250, 10_000)])
def test_wilson_s_interval_holds_the_shares_that_are_no_further_than_two_errors_of_their_own(
    wrong: int, images: int
) -> None:
    """Its ends solve |share - p| = 1.96 sqrt(p (1 - p) / n), which is how Wilson defined it."""
    share = wrong / images
    within = [
        p for p in np.linspace(0, 1, 100_001) if abs(share - p) <= 1.959964 * sqrt(p * (1 - p) / images) + 1e-12
    ]
    assert wilson_interval(wrong, images) == pytest.approx((min(within), max(within)), abs=2e-5)


def test_the_interval_is_the_binomial_s_where_only_one_of_two_is_ever_wrong() -> None:
    """60 of 400 images differ, all in one direction: a resample's sum is then binomial(400, 0.15)."""
    ours = np.zeros(400, bool)
    ours[:60] = True
    got = paired_difference([ours], [np.zeros(400, bool)], resamples=200_000)
    cumulated = np.cumsum([comb(400, k) * 0.15**k * 0.85 ** (400 - k) for k in range(401)])
    low, high = (int(np.searchsorted(cumulated, share)) / 400 for share in (0.025, 0.975))
    assert got.mean == 0.15
    assert [got.low, got.high] == pytest.approx([low, high], abs=1 / 400)


def test_the_interval_is_that_of_all_resamples_of_a_few_images() -> None:
    """Two seeds on six images: all 6^6 resamples are listed."""
    ours = [np.array([1, 0, 1, 1, 0, 0], bool), np.array([1, 0, 0, 1, 0, 1], bool)]
    theirs = [np.array([0, 0, 0, 1, 1, 0], bool), np.array([0, 0, 1, 0, 0, 0], bool)]
    each_image = [((int(a) - int(c)) + (int(b) - int(d))) / 2 for a, b, c, d in zip(*ours, *theirs, strict=True)]
    means = sorted(sum(drawn) / 6 for drawn in product(each_image, repeat=6))
    got = paired_difference(ours, theirs, resamples=400_000)
    assert got.mean == pytest.approx(sum(each_image) / 6)
    assert got.low == pytest.approx(np.quantile(means, 0.025), abs=1e-9)
    assert got.high == pytest.approx(np.quantile(means, 0.975), abs=1e-9)


def test_pairing_makes_the_interval_narrow_where_both_err_on_the_same_images() -> None:
    hard = np.arange(1000) < 200
    ours = hard.copy()
    ours[200:205] = True
    paired = paired_difference([ours], [hard])
    apart = paired_difference([ours], [np.roll(hard, 500)])
    assert paired.mean == pytest.approx(apart.mean) == pytest.approx(0.005)
    assert paired.high - paired.low < 0.01 < apart.high - apart.low


def test_the_interval_is_reproducible_and_zero_without_a_difference() -> None:
    ours, theirs = np.random.default_rng(3).random((2, 500)) < 0.2
    assert paired_difference([ours], [theirs]) == paired_difference([ours], [theirs])
    same = paired_difference([ours], [ours])
    assert (same.mean, same.low, same.high) == (0, 0, 0)
