"""Statistics of a measurement: percentiles with their bounds, and ratios with their intervals.

**The bound of a percentile** follows the early-stopping rule of MLPerf Inference's LoadGen. Of n independent queries,
the number that take longer than the true percentile p is binomial with n trials of probability 1 - p. LoadGen
(loadgen/early_stopping.cc and results.cc, confidence 0.99, tolerance 0) finds the largest t with

    P(X <= t) = sum over k = 0..t of C(n, k) (1 - p)^k p^(n - k)  <=  0.01,

and lets t queries of its server scenario take longer than the bound. (It writes the sum as a regularized incomplete
beta function, I_p(n - t, t + 1).) The bound here is the slowest query but t: it is below the true percentile only if
at most t queries took longer, so it is an upper bound with 99 % confidence. (In its scenarios of one stream, LoadGen
reports the next slower query.) The rule requires t >= 1, which gives the least number of queries: 64 for p90, 662 for
p99. Queries are not fully independent, because a slow query is often followed by another. The bound covers the random
error of the sample only, not changes of the machine.

**Whether a percentile holds a limit** (`holds`) is whether this bound is within it. Queries that wait in one queue
depend on each other more than those of a single stream, so the 99 % are those of the rule, not of the queue; longer
trials help.

**The ratio of two sessions that took turns** (`ratio`) compares them within each round.

**The ratio of two processes** (`interval`) resamples the rounds of each process separately, because the two did not
take turns. Rounds are drawn as a whole, because their iterations are correlated. If neighbouring rounds are
correlated too (the machine drifts, or stays at one of two speeds for some time), blocks of neighbouring rounds are
drawn; single rounds would make the interval much too narrow. docs/bench.md has the numbers (circular block bootstrap:
Politis and Romano, 1992). A block is a quarter of the rounds: correlation mostly lasts long, and shorter blocks, with
a length derived from the decay of the autocorrelation, gave lower coverage in simulations. Four blocks give an
uncertain estimate of the spread, so the resampled figures are spread further by the ratio of Student's t with 3
degrees of freedom to the normal distribution, as in the method of batch means.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import exp, floor, lgamma, log, log1p, sqrt
from statistics import median

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.plan import FEWEST_ITERATIONS
from capsedge.measure.bench.report import Case, Percentile, Ratio

CHANCE_OF_ERROR = 0.01

# With fewer rounds the interval is too narrow. The coverage of the 95 % interval is 90 % with 8 rounds, 93 % with 12,
# 94 % with 20 and 95 % with 83 (simulated: a machine that drifts, rounds that differ by 3 %, iterations with a heavy
# tail).
ROUNDS_FOR_INTERVAL = 12

Rounds = Sequence[NDArray[np.float64]]
Interval = tuple[float, float] | tuple[None, None]

_SEED = 20260101
_RATIO_RESAMPLES = 2000
_RESAMPLES = 1000
_BLOCKS = 4
# The 97.5 % point of Student's t with 3 degrees of freedom, divided by that of the normal distribution. The root
# corrects the variance: a bootstrap of k blocks divides by k instead of k - 1.
_WIDER = 3.182 / 1.960 * sqrt(_BLOCKS / (_BLOCKS - 1))
_ROUNDING = 1e-9


def percentiles(samples: Sequence[float]) -> tuple[Percentile, ...]:
    """Every percentile of `FEWEST_ITERATIONS` that the sample supports, with its bound.

    The value is interpolated between the two nearest iterations; nothing is clipped.

    Args:
        samples: Latencies in milliseconds, in any order.
    """
    ordered = sorted(samples)
    return tuple(
        Percentile(
            percent=percent,
            value_ms=float(np.percentile(ordered, percent)),
            bound_ms=upper_bound(ordered, percent),
        )
        for percent, fewest in FEWEST_ITERATIONS.items()
        if len(ordered) >= fewest
    )


def upper_bound(ordered: Sequence[float], percent: float) -> float | None:
    """Upper bound of a percentile with 99 % confidence, or None if the sample is too small.

    Args:
        ordered: The sample in ascending order.
        percent: The percentile, such as 99.
    """
    later = may_be_later(len(ordered), percent)
    return ordered[-1 - later] if later else None


def holds(samples: Sequence[float], percent: float, limit_ms: float) -> bool:
    """Whether the upper bound of a percentile is within a limit; False if the sample is too small for a bound.

    Args:
        samples: Latencies in milliseconds, in any order.
        percent: The percentile, such as 99.
        limit_ms: The limit.
    """
    bound_ms = upper_bound(sorted(samples), percent)
    return bound_ms is not None and bound_ms <= limit_ms


def arrivals_ms(qps: float, count: int, seed: int) -> NDArray[np.float64]:
    """Arrival times of a Poisson process in milliseconds, the first after a gap as the others: [count], ascending.

    The gaps are scaled so that the last query arrives after exactly count / qps seconds. The mean of 662 random gaps
    has a standard error of 4 %, so that the load would often be another one than the rate says.

    Args:
        qps: Number of arrivals in a second.
        count: Number of arrivals.
        seed: The same seed gives the same gaps, scaled by the rate.
    """
    arrivals = np.cumsum(np.random.default_rng(seed).exponential(size=count))
    scaled: NDArray[np.float64] = arrivals * (1000 * count / qps / arrivals[-1])
    return scaled


def may_be_later(count: int, percent: float) -> int:
    """The t of the module's rule: so many of `count` queries may take longer than the bound; 0 if there is none."""
    beyond = 1 - percent / 100
    # The probability grows with t and is far above 1 % at the mean, so t is in this range.
    candidates = range(int(count * beyond) + 1)
    return max(bisect_right(candidates, CHANCE_OF_ERROR, key=lambda t: binomial_cdf(t, count, beyond)) - 1, 0)


def binomial_cdf(successes: int, trials: int, chance: float) -> float:
    """P(X <= successes) of a binomial X, for `successes` up to the mean.

    The sum starts with the last and largest term, derives each term from the one before, and stops when terms are
    negligible. Nothing under- or overflows, and about sqrt(trials) terms are enough.
    """
    term = _binomial_pmf(successes, trials, chance)
    total = 0.0
    for below in range(successes, -1, -1):
        total += term
        term *= below / (trials - below + 1) * (1 - chance) / chance
        if term < 1e-17 * total:
            break
    return total


def _binomial_pmf(successes: int, trials: int, chance: float) -> float:
    """P(X = successes) of a binomial X."""
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(chance) + (trials - successes) * log1p(-chance))


def ratio(own: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> Ratio:
    """Compare two sessions that took turns.

    The iterations of a round are correlated (a low clock, another program), so a round is one observation: the ratio
    of the two medians within it, in which effects on both sessions cancel. The ratio is the median of these over the
    rounds. Its 95 % interval comes from a bootstrap that draws rounds with replacement, the same rounds for both
    sessions (percentile method). Pooling the iterations of all rounds is worse: if the machine changes between two
    speeds, the two medians can fall into different speeds.

    Args:
        own: The timed iterations of each round.
        first: The timed iterations of the session to compare with, in the same rounds.

    Returns:
        The ratio, without an interval if there are fewer than `ROUNDS_FOR_INTERVAL` rounds.
    """
    ratios = np.array([median(ours) / median(theirs) for ours, theirs in zip(own, first, strict=True)])
    value = float(np.median(ratios))
    rounds = len(ratios)
    if rounds < ROUNDS_FOR_INTERVAL:
        return Ratio(value=value)
    draws = np.random.default_rng(_SEED).integers(0, rounds, (_RATIO_RESAMPLES, rounds))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return Ratio(value=value, low=float(low), high=float(high))


def rounds_of(case: Case) -> list[NDArray[np.float64]]:
    """The timed iterations of each round, each [iterations], in milliseconds."""
    return [np.asarray(turn) for turn in case.samples_ms if turn]


def figure(rounds: Rounds, percent: int | None) -> float:
    """A percentile of all iterations, or their mean if `percent` is None."""
    samples = np.concatenate(rounds)
    return float(samples.mean() if percent is None else np.percentile(samples, percent))


def interval(now: Rounds, then: Rounds, percent: int | None) -> Interval:
    """The 95 % interval of the ratio of two figures; None with fewer than `ROUNDS_FOR_INTERVAL` rounds."""
    if min(len(now), len(then)) < ROUNDS_FOR_INTERVAL:
        return None, None
    generator = np.random.default_rng(_SEED)
    ratios = _resampled(now, percent, generator) / _resampled(then, percent, generator)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def autocorrelated(rounds: Rounds) -> bool:
    """Whether neighbouring rounds are correlated.

    That is, whether the first autocorrelation of the logarithms of their medians exceeds two standard errors. Without
    autocorrelation, the standard error is 1 / sqrt(rounds).
    """
    medians = np.log([np.median(turn) for turn in rounds])
    off = medians - medians.mean()
    return bool(np.ptp(medians) > _ROUNDING and off[1:] @ off[:-1] > 2 / sqrt(len(off)) * (off @ off))


def _resampled(rounds: Rounds, percent: int | None, generator: np.random.Generator) -> NDArray[np.float64]:
    """The figure of each resample, [resamples]."""
    if not autocorrelated(rounds):
        return _figures(rounds, _times_drawn(len(rounds), 1, generator), percent)
    found = _figures(rounds, _times_drawn(len(rounds), len(rounds) // _BLOCKS, generator), percent)
    own = figure(rounds, percent)
    wider: NDArray[np.float64] = own * (found / own) ** _WIDER
    return wider


def _times_drawn(rounds: int, block: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each resample contains each round, [resamples, rounds]; blocks wrap around the end."""
    starts = generator.integers(0, rounds, (_RESAMPLES, -(-rounds // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(_RESAMPLES, -1)[:, :rounds] % rounds
    times = np.zeros((_RESAMPLES, rounds), dtype=np.int64)
    np.add.at(times, (np.arange(_RESAMPLES)[:, None], drawn), 1)
    return times


def _figures(rounds: Rounds, drawn: NDArray[np.int64], percent: int | None) -> NDArray[np.float64]:
    lengths = np.array([len(turn) for turn in rounds])
    if percent is None:
        sums = np.array([turn.sum() for turn in rounds])
        means: NDArray[np.float64] = (drawn @ sums) / (drawn @ lengths)
        return means
    samples = np.concatenate(rounds)
    order = np.argsort(samples)
    owner = np.repeat(np.arange(len(rounds)), lengths)[order]
    return np.array([percentile_of_repeated(samples[order], times[owner], percent) for times in drawn])


def percentile_of_repeated(ordered: NDArray[np.float64], times: NDArray[np.int64], percent: int) -> float:
    """`np.percentile` of `np.repeat(ordered, times)`, both [values], without building that array."""
    ends = np.cumsum(times)
    place = (ends[-1] - 1) * percent / 100
    below = floor(place)
    low, high = ordered[np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")]
    return float(low + (place - below) * (high - low))
