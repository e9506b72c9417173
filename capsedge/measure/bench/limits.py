"""How long a plan measures: the numbers of the full measurement and of the quick look, in one place."""

from dataclasses import dataclass, replace
from math import inf

from capsedge.errors import WrongUse
from capsedge.measure.bench.percentiles import FEWEST_SAMPLES
from capsedge.measure.bench.plan import Plan, Scenario


@dataclass(frozen=True)
class Settling:
    """How long a session warms up.

    Attributes:
        seconds: At least so long.
        runs: At least so many runs.
        window_seconds: A window of the runs whose medians are compared is at least so long,
        window_runs: and has at least so many runs.
        longest_seconds: Not longer, whatever else is asked: a slow model, or one that waits between its queries, may
            end before it has made its runs or its windows, and has not settled then.
    """

    seconds: float
    runs: int
    window_seconds: float
    window_runs: int
    longest_seconds: float


@dataclass(frozen=True)
class Aim:
    """How long each session is measured.

    Attributes:
        seconds: At least so long, its idle time between queries counted.
        runs: At least so many timed runs; exactly so many where `exact`.
        longest_seconds: The share of one session in the whole time: where the sessions together have taken so long
            each, their rounds end.
        exact: Whether `runs` alone decides.
    """

    seconds: float
    runs: int
    longest_seconds: float
    exact: bool = False


@dataclass(frozen=True)
class Limits:
    """All of it.

    Attributes:
        settling: The warm-up.
        aim: The measurement.
        alone_seconds: What each extra measurement may take that a session makes alone (its parts, its energy).
    """

    settling: Settling
    aim: Aim
    alone_seconds: float


# The percentile that a scenario is judged by. `offline` is judged by images/s; p90 still tells an uneven run.
_RUNS_FOR: dict[Scenario, float] = {"single-stream": 99, "multi-stream": 99, "offline": 90}

_FULL = Limits(Settling(1.0, 50, 0.1, 5, 10.0), Aim(10.0, 0, 180.0), 5.0)
_QUICK = Limits(Settling(0.2, 10, 0.02, 3, 1.0), Aim(1.0, FEWEST_SAMPLES[90], 10.0), 1.0)


def limits_of(plan: Plan) -> Limits:
    """Give the limits of a plan.

    A full measurement takes the runs that a percentile of 99 needs, 90 where the scenario is `offline`; a quick one
    those of 90. One session may take 180 s (quick: 10 s), and longer where more seconds are asked for; the
    percentiles that its runs do not support are left out then.

    Raises:
        WrongUse: A number of the plan is out of its range.
    """
    _check(plan)
    limits = _QUICK if plan.quick else _FULL
    if plan.runs is not None:
        return replace(limits, aim=Aim(0.0, plan.runs, inf, exact=True))
    runs = limits.aim.runs or FEWEST_SAMPLES[_RUNS_FOR[plan.scenario]]
    seconds = limits.aim.seconds if plan.seconds is None else plan.seconds
    return replace(limits, aim=Aim(seconds, runs, max(limits.aim.longest_seconds, 2 * seconds)))


def _check(plan: Plan) -> None:
    for name, value in (("seconds", plan.seconds), ("runs", plan.runs), ("batch", plan.batch)):
        if value is not None and not value > 0:
            raise WrongUse(f"bench wants {name} above 0, {value} was given")
    if not 0 <= plan.interval_ms < inf:
        raise WrongUse(f"bench wants an interval of 0 ms or more, {plan.interval_ms} was given")
