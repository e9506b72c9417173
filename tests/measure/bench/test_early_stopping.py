"""The early-stopping bound, held against the exact binomial distribution."""

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from capsedge.measure.bench.early_stopping import at_most, bounding_rank, upper_bound

ONE_PERCENT = Fraction(1, 100)


def exactly_at_most(successes: int, trials: int, chance: Fraction) -> Fraction:
    """P(X <= successes) of a binomial X, in whole numbers."""
    over, under = chance.numerator, chance.denominator
    ways = sum(comb(trials, k) * over**k * (under - over) ** (trials - k) for k in range(successes + 1))
    return Fraction(ways, under**trials)


@pytest.mark.parametrize(
    ("successes", "trials", "chance"),
    [(0, 1, "1/2"), (5, 11, "1/2"), (1, 64, "1/10"), (0, 459, "1/100"), (12, 2000, "1/100"), (180, 2000, "1/10")],
)
def test_the_tail_is_that_of_the_binomial_distribution(successes: int, trials: int, chance: str) -> None:
    exact = exactly_at_most(successes, trials, Fraction(chance))

    assert at_most(successes, trials, float(Fraction(chance))) == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.parametrize(
    ("percent", "count"),
    [
        *((50.0, count) for count in (1, 10, 11, 1000)),
        *((90.0, count) for count in (63, 64, 1000)),
        *((95.0, count) for count in (129, 130)),
        *((99.0, count) for count in (661, 662, 3000)),
        *((99.9, count) for count in (6635, 6636, 9000)),
    ],
)
def test_the_rank_is_the_last_whose_chance_is_at_most_one_percent(percent: float, count: int) -> None:
    beyond = 1 - Fraction(str(percent)) / 100

    rank = bounding_rank(count, percent)

    if rank:
        assert exactly_at_most(rank, count, beyond) <= ONE_PERCENT
    assert exactly_at_most(rank + 1, count, beyond) > ONE_PERCENT


@pytest.mark.parametrize(("percent", "fewest"), [(50, 11), (90, 64), (95, 130), (99, 662), (99.9, 6636)])
def test_the_fewest_samples_with_a_bound_are_those_of_loadgen(percent: float, fewest: int) -> None:
    samples = [float(value) for value in range(fewest)]

    assert upper_bound(samples[1:], percent) is None
    assert upper_bound(samples, percent) == samples[-1]  # nothing is discarded yet


def test_a_run_of_loadgen_is_reproduced() -> None:
    """LoadGen's summary of 2,048 queries: "Would discard 172 highest latency queries" for the 90th percentile."""
    assert bounding_rank(2048, 90.0) - 1 == 172


def test_a_hundred_thousand_samples_neither_overflow_nor_lose_precision() -> None:
    """The normal approximation knows the rank of so many to a few."""
    deviation = (100_000 * 0.1 * 0.9) ** 0.5

    assert bounding_rank(100_000, 90.0) == pytest.approx(10_000 - 2.326 * deviation, abs=3)


def test_the_bound_holds_in_99_of_100_samples() -> None:
    """2,000 samples of 700 exponential latencies, whose 99th percentile is known; at 1 % some 20 may miss it."""
    true = -np.log(0.01)
    samples = np.sort(np.random.default_rng(5).exponential(size=(2000, 700)), axis=1)

    missed = sum((upper_bound(sample, 99.0) or 0.0) < true for sample in samples.tolist())

    assert missed <= 30
