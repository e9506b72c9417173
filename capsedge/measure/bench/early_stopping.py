"""The bound of a percentile that a sample supports: the early-stopping rule of MLPerf Inference's LoadGen.

Of n independent queries, the number that take longer than the true percentile p is binomial with n trials of chance
1 - p. LoadGen (loadgen/early_stopping.cc and results.cc, confidence 0.99, tolerance 0) looks for the largest t with

    P(X <= t) = sum over k = 0..t of C(n, k) (1 - p)^k p^(n - k)  <=  0.01,

discards the t - 1 slowest queries and gives the slowest of the others as its estimate. (It writes the sum as a
regularized incomplete beta function, I_p(n - t, t + 1).) That latency is below the true percentile only where fewer
than t queries took longer, so it is an upper bound of it with more than 99 % confidence. The rule wants t >= 1, from
which the fewest queries follow: 64 for p90, 662 for p99.

Queries are not quite independent: one that is slow is often followed by another. The bound says how far chance alone
could mislead, not how the machine will be tomorrow.
"""

from bisect import bisect_right
from collections.abc import Sequence
from math import exp, lgamma, log, log1p

CHANCE_OF_ERROR = 0.01


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
