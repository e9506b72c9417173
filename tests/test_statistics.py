"""The statistics against sums done by hand, exact distributions and resampling image by image."""

from math import comb, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

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


def differing(ours: int, theirs: int, images: int) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.bool_]]]:
    """The mistakes of two networks, of which each alone errs on so many images."""
    places = np.arange(images)
    return [places < ours], [(places >= ours) & (places < ours + theirs)]


@pytest.mark.parametrize("images", [20, 52, 200])
@pytest.mark.parametrize(("ours", "theirs"), [(0.01, 0.01), (0.02, 0.0), (0.05, 0.02), (0.3, 0.1), (0.2, 0.2)])
def test_the_interval_holds_the_true_difference_in_95_of_100_draws_of_few_images(
    images: int, ours: float, theirs: float
) -> None:
    """Every outcome of the draw is listed, with its exact probability."""
    covered = 0.0
    for one in range(images + 1):
        for two in range(images + 1 - one):
            ways = comb(images, one) * comb(images - one, two)
            chance = ways * ours**one * theirs**two * (1 - ours - theirs) ** (images - one - two)
            if chance > 1e-9:
                got = paired_difference(*differing(one, two, images))
                covered += chance * (got.low <= ours - theirs <= got.high)
    assert covered >= 0.94


def test_the_interval_of_many_images_is_that_of_resampled_images() -> None:
    """Three seeds; the bootstrap is drawn image by image."""
    random = np.random.default_rng(5)
    ours, theirs = (list(random.random((3, 4000)) < share) for share in (0.08, 0.06))
    each_image = np.mean([one.astype(float) - two for one, two in zip(ours, theirs, strict=True)], axis=0)
    means = [each_image[random.integers(0, 4000, 4000)].mean() for _ in range(4000)]
    got = paired_difference(ours, theirs)
    assert got.mean == pytest.approx(each_image.mean())
    assert [got.low, got.high] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=4e-4)


def test_pairing_makes_the_interval_narrow_where_both_err_on_the_same_images() -> None:
    hard = np.arange(1000) < 200
    ours = hard.copy()
    ours[200:205] = True
    paired = paired_difference([ours], [hard])
    apart = paired_difference([ours], [np.roll(hard, 500)])
    assert paired.mean == pytest.approx(apart.mean) == pytest.approx(0.005)
    assert paired.high - paired.low < 0.02 < apart.high - apart.low


def test_the_interval_has_a_width_where_no_image_differs_and_stays_within_all_images() -> None:
    same = paired_difference(*differing(0, 0, 52))
    assert (same.mean, -same.low) == (0, same.high)
    assert same.high == pytest.approx(1.959964 * sqrt(2 / 54) / sqrt(54))  # by hand
    assert paired_difference(*differing(1, 0, 1)).high == 1
    assert paired_difference(*differing(0, 1, 1)).low == -1
