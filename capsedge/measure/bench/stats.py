"""The statistics of a measurement: percentiles with their bounds, and ratios with their intervals.

**The bound of a percentile** is the early-stopping rule of MLPerf Inference's LoadGen. Of n independent queries, the
number that take longer than the true percentile p is binomial with n trials of chance 1 - p. LoadGen
(loadgen/early_stopping.cc and results.cc, confidence 0.99, tolerance 0) looks for the largest t with

    P(X <= t) = sum over k = 0..t of C(n, k) (1 - p)^k p^(n - k)  <=  0.01,

discards the t - 1 slowest queries and gives the slowest of the others as its estimate. (It writes the sum as a
regularized incomplete beta function, I_p(n - t, t + 1).) That latency is below the true percentile only where fewer
than t queries took longer, so it is an upper bound of it with more than 99 % confidence. The rule wants t >= 1, from
which the fewest queries follow: 64 for p90, 662 for p99. Queries are not quite independent: one that is slow is often
followed by another. The bound says how far chance alone could mislead, not how the machine will be tomorrow.

**The ratio of two sessions that took turns** (`ratio`) compares them within each round.

**The ratio of two processes** (`interval`) draws the rounds of each side by itself, because the two did not take
turns. A round is drawn whole: its iterations are alike. Where neighbouring rounds are alike too (the machine drifts,
or stays in one of two speeds for a while), blocks of neighbours are drawn, or the interval would be far too narrow:
docs/bench.md has the figures (circular block bootstrap: Politis and Romano, 1992). A block is a quarter of the
rounds: what keeps rounds alike mostly lasts, and shorter blocks, whose length followed from how fast the likeness
fades, covered less in simulations. As a spread that only four blocks tell is itself unsure, the drawn figures are
moved apart by as much as Student's t with 3 degrees of freedom is wider than a normal distribution, as the method of
batch means does.
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

# With fewer rounds the interval is too narrow. Of 95 % it covers 90 % with 8 rounds, 93 % with 12, 94 % with 20 and
# 95 % with 83 (simulated: a machine that drifts, rounds that differ by 3 %, iterations with a heavy tail).
ROUNDS_FOR_INTERVAL = 12

Rounds = Sequence[NDArray[np.float64]]
Interval = tuple[float, float] | tuple[None, None]

_SEED = 20260101
_RATIO_RESAMPLES = 2000
_RESAMPLES = 1000
_BLOCKS = 4
# 97.5 % point of Student's t with 3 degrees of freedom over that of the normal distribution; and as a bootstrap of k
# blocks takes the variance over k, it is too small by k - 1 over k.
_WIDER = 3.182 / 1.960 * sqrt(_BLOCKS / (_BLOCKS - 1))
_ROUNDING = 1e-9


def percentiles(samples: Sequence[float]) -> tuple[Percentile, ...]:
    """Give every percentile of `FEWEST_ITERATIONS` that the sample supports, with its bound.

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
    """Give the latency that a percentile is below with 99 % confidence, or None where the sample is too small.

    Args:
        ordered: The sample, the smallest first.
        percent: Such as 99.
    """
    rank = bounding_rank(len(ordered), percent)
    return ordered[len(ordered) - rank] if rank else None


def bounding_rank(count: int, percent: float) -> int:
    """Give t of the module's rule: the t-th slowest of `count` queries is the bound; 0 where there is none."""
    beyond = 1 - percent / 100
    # Below the mean the chance grows with t and stays below a half: the search ends within.
    candidates = range(int(count * beyond) + 1)
    return max(bisect_right(candidates, CHANCE_OF_ERROR, key=lambda t: at_most(t, count, beyond)) - 1, 0)


def at_most(successes: int, trials: int, chance: float) -> float:
    """P(X <= successes) of a binomial X, for `successes` up to the mean.

    The terms are summed from the last and largest one down, each by its ratio to the one before, until they no longer
    count; nothing under- or overflows, and about sqrt(trials) terms are enough.
    """
    term = _probability(successes, trials, chance)
    total = 0.0
    for below in range(successes, -1, -1):
        total += term
        term *= below / (trials - below + 1) * (1 - chance) / chance
        if term < 1e-17 * total:
            break
    return total


def _probability(successes: int, trials: int, chance: float) -> float:
    """P(X = successes) of a binomial X."""
    ways = lgamma(trials + 1) - lgamma(successes + 1) - lgamma(trials - successes + 1)
    return exp(ways + successes * log(chance) + (trials - successes) * log1p(-chance))


def ratio(own: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> Ratio:
    """Compare two sessions that took turns.

    The iterations of a round are alike (a clock that is low, another program that runs), so a round is one
    observation: the ratio of the two medians within it, in which whatever hit both cancels. The ratio is the median
    of these over the rounds, and its 95 % interval a bootstrap that draws rounds, for both sessions the same ones,
    with replacement (percentile method). Pooling the iterations of all rounds instead was tried: where the machine
    changes between two speeds, the two medians can fall into different ones.

    Args:
        own: The timed iterations of each round.
        first: Those of the session to compare with, of the same rounds.

    Returns:
        The ratio, without an interval where there are fewer than `ROUNDS_FOR_INTERVAL`.
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
    """The timed iterations of each round, in milliseconds."""
    return [np.asarray(turn) for turn in case.samples_ms if turn]


def figure(rounds: Rounds, percent: int | None) -> float:
    """A percentile of all iterations, or their mean where it is None."""
    samples = np.concatenate(rounds)
    return float(samples.mean() if percent is None else np.percentile(samples, percent))


def interval(now: Rounds, then: Rounds, percent: int | None) -> Interval:
    """The 95 % interval of the ratio of the two figures; none with fewer than `ROUNDS_FOR_INTERVAL` rounds."""
    if min(len(now), len(then)) < ROUNDS_FOR_INTERVAL:
        return None, None
    generator = np.random.default_rng(_SEED)
    ratios = _redrawn(now, percent, generator) / _redrawn(then, percent, generator)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def alike(rounds: Rounds) -> bool:
    """Whether neighbouring rounds are more alike than chance makes them.

    That is, whether the first autocorrelation of the logarithms of their medians is beyond two standard errors, which
    are 1 over the root of the number of rounds where there is none.
    """
    medians = np.log([np.median(turn) for turn in rounds])
    off = medians - medians.mean()
    return bool(np.ptp(medians) > _ROUNDING and off[1:] @ off[:-1] > 2 / sqrt(len(off)) * (off @ off))


def _redrawn(rounds: Rounds, percent: int | None, generator: np.random.Generator) -> NDArray[np.float64]:
    """The figure of each resample, [resamples]."""
    if not alike(rounds):
        return _figures(rounds, _times_drawn(len(rounds), 1, generator), percent)
    found = _figures(rounds, _times_drawn(len(rounds), len(rounds) // _BLOCKS, generator), percent)
    own = figure(rounds, percent)
    wider: NDArray[np.float64] = own * (found / own) ** _WIDER
    return wider


def _times_drawn(rounds: int, block: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each resample has each round, [resamples, rounds]; the first round follows the last."""
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
    """`np.percentile` of ordered samples that are there so many times each, without repeating them."""
    ends = np.cumsum(times)
    place = (ends[-1] - 1) * percent / 100
    below = floor(place)
    low, high = ordered[np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")]
    return float(low + (place - below) * (high - low))
