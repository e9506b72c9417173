"""Options of a measurement: scenario, batch, duration and iterations, and the limits that follow from them."""

from dataclasses import dataclass, replace
from math import inf
from typing import Literal

import msgspec

from capsedge.errors import WrongUse
from capsedge.plural import amount

Scenario = Literal["single-stream", "multi-stream", "offline", "server"]

METRIC: dict[Scenario, int | None] = {"single-stream": 90, "multi-stream": 99, "offline": None, "server": 99}
"""Metric of each scenario: a percentile of the latency of a query; None is images/s."""

FEWEST_ITERATIONS: dict[float, int] = {50.0: 11, 90.0: 64, 95.0: 130, 99.0: 662, 99.9: 6636}
"""Least number of iterations n for each percentile.

With fewer iterations, the probability p^n + n (1 - p) p^(n - 1) that at most one of them lies beyond the true
percentile p exceeds 1 %, so the sample may not contain the tail. These are the counts from which LoadGen's bound
exists (`stats`); for 90 and 99 they are LoadGen's own numbers.
"""

# Larger numbers are mistakes: they overflow a timer, or the samples do not fit into memory.
MOST_IMAGES = 1_000_000
MOST_ITERATIONS = 10_000_000
LONGEST_DURATION_S = 86_400
LONGEST_INTERVAL_MS = 3_600_000
MOST_CLIENTS = 256
HIGHEST_QPS = 1_000_000
LONGEST_BOUND_MS = 3_600_000

_IMAGES: dict[Scenario, int] = {"single-stream": 1, "multi-stream": 8, "offline": 64, "server": 1}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Options of one measurement.

    Attributes:
        scenario: In the style of MLPerf Inference; the results are not MLPerf results. `single-stream` sends queries
            of one image, with p90 as the metric; `multi-stream` of 8 images, with p99; `offline` of 64 images, with
            images/s; `server` queries of one image that arrive at random times (a Poisson process) and wait for no
            answer, with p99, counted from the arrival.
        batch: Images in a query, at most 1,000,000; None is 1, 8 or 64, by the scenario.
        interval_ms: Idle time before each query in milliseconds, 0 to 1 hour, as between the frames of a camera; 0
            sends queries without a pause.
        duration: Least time of the timed iterations of each session, in seconds, at most 1 day; None is 10, or 1 if
            `quick`.
        iterations: Exact number of timed iterations of each session, at most 10,000,000, whatever time they take;
            None uses `duration`.
        quick: Short measurement, marked in the results: shorter warm-up and duration, fewer percentiles.
        breakdown: Whether to measure the parts of a query too (load, first inference, decoding, copies, compute).
        concurrency: Threads that send queries to one session at the same time, 1 to 256. Each sends its next query
            when the last one is answered; in `server`, each takes the next query that has arrived.
        qps: Queries that arrive in a second, on average, above 0 up to 1,000,000; for `server` only.
        p99_ms: Bound of the p99 of `server`, in milliseconds. Without `qps`, the highest rate that holds it is
            sought; with it, the rate is tried.
        memory: Whether to measure the peak memory of each model, in a process of its own.
        data: Labelled images (as `capsedge eval --data`) on which to measure the error of each model; None measures
            none.
    """

    scenario: Scenario = "single-stream"
    batch: int | None = None
    interval_ms: float = 0.0
    duration: float | None = None
    iterations: int | None = None
    quick: bool = False
    breakdown: bool = True
    concurrency: int = 1
    qps: float | None = None
    p99_ms: float | None = None
    memory: bool = False
    data: str | None = None

    @property
    def images(self) -> int:
        """Images in a query."""
        return self.batch or _IMAGES[self.scenario]


@dataclass(frozen=True)
class WarmupLimits:
    """Limits of the warm-up of a session.

    Attributes:
        seconds: Least duration.
        iterations: Least number of iterations.
        window_seconds: Least duration of a window; the medians of the windows are compared.
        window_iterations: Least number of iterations in a window.
        longest_seconds: Longest duration; it overrides all other limits. A slow model, or one with idle time between
            its queries, may reach it before the other limits, and then has not settled.
    """

    seconds: float
    iterations: int
    window_seconds: float
    window_iterations: int
    longest_seconds: float


@dataclass(frozen=True)
class TimingLimits:
    """Limits of the timed iterations of each session.

    Attributes:
        seconds: Least duration, idle time between queries included.
        iterations: Least number of timed iterations; the exact number if `exact`.
        longest_seconds: Longest duration per session: the rounds end when all sessions together have taken this long
            times the number of sessions.
        exact: Whether `iterations` is the exact number, and the only limit.
    """

    seconds: float
    iterations: int
    longest_seconds: float
    exact: bool = False

    @property
    def lowest_qps(self) -> float:
        """The lowest rate at which enough queries for p99 arrive within the longest time of a trial."""
        return 0.0 if self.exact else FEWEST_ITERATIONS[99] / self.longest_seconds


@dataclass(frozen=True)
class Limits:
    """All limits of a plan.

    Attributes:
        warmup: The warm-up.
        timing: The rounds.
        alone_seconds: Longest duration of each measurement after the rounds (decoding, parts of a query).
    """

    warmup: WarmupLimits
    timing: TimingLimits
    alone_seconds: float


# The percentile for which a full measurement has enough iterations. The metric of `offline` is images/s; its p90
# still shows how much the latency varies.
_SUPPORTED: dict[Scenario, float] = {"single-stream": 99, "multi-stream": 99, "offline": 90, "server": 99}

_FULL = Limits(WarmupLimits(1.0, 50, 0.1, 5, 10.0), TimingLimits(10.0, 0, 180.0), 5.0)
_QUICK = Limits(WarmupLimits(0.2, 10, 0.02, 3, 1.0), TimingLimits(1.0, FEWEST_ITERATIONS[90], 10.0), 1.0)


def limits_of(plan: Plan) -> Limits:
    """Limits of a plan.

    A full measurement makes enough iterations for p99, or for p90 if the scenario is `offline`; a quick one for p90,
    or for p99 if the scenario is `server`.
    A session takes at most 180 s (quick: 10 s), or twice `Plan.duration` if that is longer; in `server`, each
    trial does, also a quick one. Percentiles for which the iterations are too few are left out.

    Raises:
        WrongUse: A number of the plan is out of range.
    """
    _check(plan)
    limits = _QUICK if plan.quick else _FULL
    if plan.iterations is not None:
        _check_arrivals(plan, plan.iterations, LONGEST_DURATION_S)
        return replace(limits, timing=TimingLimits(0.0, plan.iterations, inf, exact=True))
    supported = FEWEST_ITERATIONS[_SUPPORTED[plan.scenario]]
    iterations = supported if plan.scenario == "server" else limits.timing.iterations or supported
    seconds = limits.timing.seconds if plan.duration is None else plan.duration
    # At a low rate of arrivals, the queries for p99 take a while, also in a quick measurement.
    longest = (_FULL if plan.scenario == "server" else limits).timing.longest_seconds
    longest = max(longest, 2 * seconds)
    _check_arrivals(plan, FEWEST_ITERATIONS[50], longest)
    if plan.qps is not None and plan.qps * seconds > MOST_ITERATIONS:
        raise WrongUse(
            f"expected at most {MOST_ITERATIONS:,} queries in a trial, got {amount(plan.qps)} queries/s for "
            f"{amount(seconds)} s",
            "lower --qps or --duration",
        )
    return replace(limits, timing=TimingLimits(seconds, iterations, longest))


def _check_arrivals(plan: Plan, queries: int, seconds: float) -> None:
    """Refuse a rate at which so many queries do not arrive within a time."""
    if plan.qps is not None and plan.qps * seconds < queries:
        change = "raise --duration" if plan.iterations is None else "lower --iterations"
        raise WrongUse(
            f"at {amount(plan.qps)} queries/s, {queries:,} queries do not arrive within {amount(seconds)} s",
            f"raise --qps, or {change}",
        )


def _check(plan: Plan) -> None:
    if plan.batch is not None and not 1 <= plan.batch <= MOST_IMAGES:
        raise WrongUse(f"expected a batch from 1 to {MOST_IMAGES:,} images, got {plan.batch:,}")
    if plan.iterations is not None and not 1 <= plan.iterations <= MOST_ITERATIONS:
        raise WrongUse(f"expected 1 to {MOST_ITERATIONS:,} iterations, got {plan.iterations:,}")
    if plan.duration is not None and not 0 < plan.duration <= LONGEST_DURATION_S:
        raise WrongUse(
            f"expected a duration above 0 s, up to {LONGEST_DURATION_S:,} s (a day), got {amount(plan.duration)}"
        )
    if not 0 <= plan.interval_ms <= LONGEST_INTERVAL_MS:
        raise WrongUse(
            f"expected an interval from 0 to {LONGEST_INTERVAL_MS:,} ms (an hour), got {amount(plan.interval_ms)}"
        )
    _check_load(plan)


def _check_load(plan: Plan) -> None:
    """Refuse a concurrency or an arrival rate out of range, and options that contradict each other."""
    server, several = plan.scenario == "server", plan.concurrency > 1
    if not 1 <= plan.concurrency <= MOST_CLIENTS:
        raise WrongUse(f"expected a concurrency from 1 to {MOST_CLIENTS:,}, got {plan.concurrency}")
    if plan.qps is not None and not 0 < plan.qps <= HIGHEST_QPS:
        raise WrongUse(f"expected a rate above 0, up to {HIGHEST_QPS:,} queries/s, got {amount(plan.qps)}")
    if plan.p99_ms is not None and not 0 < plan.p99_ms <= LONGEST_BOUND_MS:
        raise WrongUse(
            f"expected a bound of p99 above 0 ms, up to {LONGEST_BOUND_MS:,} ms (an hour), got {amount(plan.p99_ms)}"
        )
    if server and plan.qps is None and plan.p99_ms is None:
        raise WrongUse(
            "the scenario 'server' needs --qps (the rate of arrivals) or --p99-ms (to find the highest rate that "
            "holds it)",
            "add one",
        )
    if not server and (plan.qps is not None or plan.p99_ms is not None):
        raise WrongUse(f"--qps and --p99-ms belong to --scenario server, got {plan.scenario}", "choose one of them")
    if plan.p99_ms is not None and plan.iterations is not None and plan.iterations < FEWEST_ITERATIONS[99]:
        raise WrongUse(
            f"--p99-ms needs at least {FEWEST_ITERATIONS[99]} queries in a trial, got --iterations {plan.iterations}",
            "raise it, or leave it out",
        )
    if plan.interval_ms and (server or several):
        raise WrongUse("--interval-ms needs a single client", "leave it out, or --concurrency and --scenario server")
    if plan.iterations is not None and several and not server:
        raise WrongUse("--iterations cannot be shared out among several clients", "use --duration with --concurrency")
