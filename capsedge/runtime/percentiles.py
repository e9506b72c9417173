"""Statistics of latencies that say no more than their samples support."""

import math
from collections.abc import Sequence

import numpy as np

# The fewest samples for a percentile: below, the chance that at most one of them lies beyond the true percentile
# p, which is p^n + n (1 - p) p^(n - 1), is more than 1 %, and the sample may know nothing of the tail. The counts
# for 90 and 99 are those of MLPerf's LoadGen.
FEWEST_SAMPLES = {50: 11, 90: 64, 99: 662}

_Z95 = 1.96


def percentile(samples: Sequence[float], percent: int) -> float | None:
    """Give a percentile, or None where there are fewer samples than `FEWEST_SAMPLES`."""
    if len(samples) < FEWEST_SAMPLES[percent]:
        return None
    return float(np.percentile(samples, percent))


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Give a 95 % confidence interval of the median, whatever the distribution, or None below 8 values.

    It is the pair of order statistics (n -+ 1.96 sqrt(n)) / 2, counted from 1 (Conover, Practical Nonparametric
    Statistics, 3.2), rounded outwards, so that it covers the median at least that often.
    """
    count = len(values)
    lower = math.floor((count - _Z95 * math.sqrt(count)) / 2)
    if lower < 1:
        return None
    ordered = sorted(values)
    return ordered[lower - 1], ordered[count - lower]
