"""How many times the latency of another a session's is, with the interval in which chance leaves it."""

from collections.abc import Sequence
from statistics import median

import numpy as np

from capsedge.measure.bench.report import Ratio

# With fewer rounds the interval is too narrow. Of 95 % it covers 90 % with 8 rounds, 93 % with 12, 94 % with 20 and
# 95 % with 83 (simulated: a machine that drifts, rounds that differ by 3 %, runs with a heavy tail).
FEWEST_ROUNDS = 12

_RESAMPLES = 2000
_SEED = 20260101


def ratio(own: Sequence[Sequence[float]], first: Sequence[Sequence[float]]) -> Ratio:
    """Compare two sessions that took turns.

    The runs of a round are alike (a clock that is low, another program that runs), so a round is one observation: the
    ratio of the two medians within it, in which whatever hit both cancels. The ratio is the median of these over the
    rounds, and its 95 % interval a bootstrap that draws rounds, for both sessions the same ones, with replacement
    (percentile method). Pooling the runs of all rounds instead was tried: where the machine changes between two
    speeds, the two medians can fall into different ones.

    Args:
        own: The timed runs of each round.
        first: Those of the session to compare with, of the same rounds.

    Returns:
        The ratio, without an interval where there are fewer than `FEWEST_ROUNDS`.
    """
    ratios = np.array([median(ours) / median(theirs) for ours, theirs in zip(own, first, strict=True)])
    value = float(np.median(ratios))
    rounds = len(ratios)
    if rounds < FEWEST_ROUNDS:
        return Ratio(value=value)
    draws = np.random.default_rng(_SEED).integers(0, rounds, (_RESAMPLES, rounds))
    low, high = np.quantile(np.median(ratios[draws], axis=1), [0.025, 0.975])
    return Ratio(value=value, low=float(low), high=float(high))
