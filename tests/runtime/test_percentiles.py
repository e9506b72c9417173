"""Statistics of latencies, held against the binomial distribution that they come from."""

from math import comb

import pytest

from capsedge.runtime.percentiles import FEWEST_SAMPLES, median_interval, percentile


def at_most(successes: int, trials: int, chance: float) -> float:
    """P(X <= successes) of a binomial X."""
    return sum(comb(trials, k) * chance**k * (1 - chance) ** (trials - k) for k in range(successes + 1))


@pytest.mark.parametrize(("percent", "fewest"), FEWEST_SAMPLES.items())
def test_the_fewest_samples_are_the_first_that_likely_hold_two_beyond_the_percentile(
    percent: int, fewest: int
) -> None:
    beyond = 1 - percent / 100

    assert at_most(1, fewest, beyond) <= 0.01 < at_most(1, fewest - 1, beyond)


@pytest.mark.parametrize("percent", FEWEST_SAMPLES)
def test_a_percentile_is_given_from_its_fewest_samples_on(percent: int) -> None:
    fewest = FEWEST_SAMPLES[percent]

    assert percentile([1.0] * (fewest - 1), percent) is None
    assert percentile([1.0] * fewest, percent) == 1.0


def test_percentiles_are_those_of_the_sorted_samples() -> None:
    samples = [float(value) for value in reversed(range(1001))]

    assert [percentile(samples, percent) for percent in (50, 90, 99)] == [500.0, 900.0, 990.0]


def test_the_interval_of_the_median_covers_it_in_95_of_100_cases_for_every_count() -> None:
    for count in range(8, 300):
        lower, upper = median_interval([float(value) for value in range(1, count + 1)]) or (0, 0)
        assert lower + upper == count + 1  # the ranks lie evenly around the middle
        # It misses the median where at most lower - 1 values lie below it, or above it.
        assert 1 - 2 * at_most(int(lower) - 1, count, 0.5) >= 0.95


def test_the_interval_needs_8_values() -> None:
    assert median_interval([1.0] * 7) is None
    assert median_interval([1.0] * 8) == (1.0, 1.0)


def test_the_order_of_the_values_does_not_matter() -> None:
    assert median_interval([5.0, 1.0, 9.0, 3.0, 7.0, 2.0, 8.0, 4.0]) == (1.0, 9.0)
