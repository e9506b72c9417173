"""Percentiles of latencies that say no more than their sample supports."""

from collections.abc import Sequence

import numpy as np

from capsedge.measure.bench.early_stopping import upper_bound
from capsedge.measure.bench.report import Percentile

# The fewest runs n for a percentile: below, the chance p^n + n (1 - p) p^(n - 1) that at most one of them lies beyond
# the true percentile p is more than 1 %, and the sample may know nothing of the tail. It is where LoadGen's bound
# begins (`early_stopping`); its counts for 90 and 99 are these.
FEWEST_SAMPLES: dict[float, int] = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}


def percentiles(samples: Sequence[float]) -> tuple[Percentile, ...]:
    """Give every percentile of `FEWEST_SAMPLES` that the sample supports, with its bound.

    The value is interpolated between the two nearest runs; nothing is clipped.

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
        for percent, fewest in FEWEST_SAMPLES.items()
        if len(ordered) >= fewest
    )
