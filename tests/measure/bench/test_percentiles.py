"""Percentiles, held against the binomial distribution that their sample comes from."""

from math import comb

import pytest

from capsedge.measure.bench.percentiles import FEWEST_SAMPLES, percentiles


def at_most(successes: int, trials: int, chance: float) -> float:
    """P(X <= successes) of a binomial X."""
    return sum(comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(successes + 1))


@pytest.mark.parametrize(("percent", "fewest"), FEWEST_SAMPLES.items())
def test_the_fewest_samples_are_the_first_that_likely_hold_two_beyond_the_percentile(
    percent: float, fewest: int
) -> None:
    beyond = 1 - percent / 100

    assert at_most(1, fewest, beyond) <= 0.01 < at_most(1, fewest - 1, beyond)


def test_the_counts_are_those_that_the_users_are_told() -> None:
    assert FEWEST_SAMPLES == {50: 11, 90: 64, 95: 130, 99: 662, 99.9: 6636}


@pytest.mark.parametrize(("percent", "fewest"), FEWEST_SAMPLES.items())
def test_a_percentile_is_given_from_its_fewest_samples_on(percent: float, fewest: int) -> None:
    given = {count: [each.percent for each in percentiles([1.0] * count)] for count in (fewest - 1, fewest)}

    assert percent not in given[fewest - 1]
    assert given[fewest][-1] == percent


def test_percentiles_are_those_of_the_sorted_samples_with_a_bound_above() -> None:
    samples = [float(value) for value in reversed(range(1001))]

    found = percentiles(samples)

    assert [each.value_ms for each in found] == [500.0, 900.0, 950.0, 990.0]
    assert all(each.bound_ms is not None and each.value_ms < each.bound_ms <= 1000.0 for each in found)


def test_an_outlier_stays_in_the_sample() -> None:
    (*_, p99) = percentiles([1.0] * 650 + [50.0] * 12)

    assert p99.value_ms == 50.0


def test_a_sample_too_small_for_any_percentile_has_none() -> None:
    assert percentiles([1.0] * 10) == ()
