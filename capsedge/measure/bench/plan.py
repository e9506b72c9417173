"""What a measurement shall do: the scenario, how long it takes, and how many iterations that is."""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import msgspec

from capsedge.errors import WrongUse

Scenario = Literal["single-stream", "multi-stream", "offline"]

METRIC: dict[Scenario, int | None] = {"single-stream": 90, "multi-stream": 99, "offline": None}
"""The figure that decides in a scenario: a percentile of a query's latency; None is images/s."""

FEWEST_ITERATIONS: dict[float, int] = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}
"""The fewest iterations n for a percentile.

Below, the chance p^n + n (1 - p) p^(n - 1) that at most one of them lies beyond the true percentile p is more than
1 %, and the sample may know nothing of the tail. It is where LoadGen's bound begins (`stats`); its counts for 90 and
99 are these.
"""

_IMAGES: dict[Scenario, int] = {"single-stream": 1, "multi-stream": 8, "offline": 64}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one or more sessions, side by side.

    Attributes:
        scenario: In the style of MLPerf Inference, and no result of it. `single-stream` sends one query after the
            other; its metric is p90. `multi-stream` sends queries of 8 images; its metric is p99. The metric of
            `offline` is images/s.
        batch: Images in a query; None is 1, 8 and 64, by the scenario.
        interval_ms: Idle time before each query, as between the frames of a camera; 0 sends it at once.
        duration: Least time in seconds of each session's timed iterations; None is 10, or 1 where `quick`.
        iterations: Exactly so many timed iterations of each session, whatever the time; None goes by `duration`.
        quick: A short measurement whose results are marked: shorter warm-up and duration, fewer percentiles.
        breakdown: Whether to measure where the time of a query goes too (load, first inference, decoding, copies,
            compute).
    """

    scenario: Scenario = "single-stream"
    batch: int | None = None
    interval_ms: float = 0.0
    duration: float | None = None
    iterations: int | None = None
    quick: bool = False
    breakdown: bool = True

    @property
    def images(self) -> int:
        """Images in a query."""
        return self.batch or _IMAGES[self.scenario]


@dataclass(frozen=True)
class WarmupLimits:
    """How long a session warms up.

    Attributes:
        seconds: At least so long.
        iterations: At least so many iterations.
        window_seconds: Medians of windows are compared; a window is at least so long,
        window_iterations: and has at least so many iterations.
        longest_seconds: Not longer, whatever else is asked: a slow model, or one that waits between its queries, may
            end before it has made its iterations or its windows. It has not settled then.
    """

    seconds: float
    iterations: int
    window_seconds: float
    window_iterations: int
    longest_seconds: float


@dataclass(frozen=True)
class TimingLimits:
    """How long each session is timed.

    Attributes:
        seconds: At least so long, its idle time between queries counted.
        iterations: At least so many timed iterations; exactly so many where `exact`.
        longest_seconds: The share of one session in the whole time: the rounds end when the sessions together have
            taken so long each.
        exact: Whether `iterations` alone decides.
    """

    seconds: float
    iterations: int
    longest_seconds: float
    exact: bool = False


@dataclass(frozen=True)
class Limits:
    """All limits of a plan.

    Attributes:
        warmup: The warm-up.
        timing: The rounds.
        alone_seconds: What each extra measurement may take that a session makes alone (its breakdown, its energy).
    """

    warmup: WarmupLimits
    timing: TimingLimits
    alone_seconds: float


# The percentile that the iterations have to support. The metric of `offline` is images/s; p90 still shows an uneven
# measurement.
_SUPPORTED: dict[Scenario, float] = {"single-stream": 99, "multi-stream": 99, "offline": 90}

_FULL = Limits(WarmupLimits(1.0, 50, 0.1, 5, 10.0), TimingLimits(10.0, 0, 180.0), 5.0)
_QUICK = Limits(WarmupLimits(0.2, 10, 0.02, 3, 1.0), TimingLimits(1.0, FEWEST_ITERATIONS[90], 10.0), 1.0)


def limits_of(plan: Plan) -> Limits:
    """Give the limits of a plan.

    A full measurement takes the iterations that p99 needs, or p90 where the scenario is `offline`; a quick one those
    of p90. One session may take 180 s (quick: 10 s), and longer where a longer duration is asked for; percentiles
    that its iterations do not support are left out then.

    Raises:
        WrongUse: A number of the plan is out of its range.
    """
    _check(plan)
    limits = _QUICK if plan.quick else _FULL
    if plan.iterations is not None:
        return replace(limits, timing=TimingLimits(0.0, plan.iterations, inf, exact=True))
    iterations = limits.timing.iterations or FEWEST_ITERATIONS[_SUPPORTED[plan.scenario]]
    seconds = limits.timing.seconds if plan.duration is None else plan.duration
    return replace(limits, timing=TimingLimits(seconds, iterations, max(limits.timing.longest_seconds, 2 * seconds)))


def _check(plan: Plan) -> None:
    for name, value in (("duration", plan.duration), ("iterations", plan.iterations), ("batch", plan.batch)):
        if value is not None and not value > 0:
            raise WrongUse(f"expected {name} above 0, got {value}")
    if not 0 <= plan.interval_ms < inf:
        raise WrongUse(f"expected an interval of 0 ms or more, got {plan.interval_ms}")
