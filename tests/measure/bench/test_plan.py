"""How long each plan measures."""

from math import inf, nan

import pytest

from capsedge.errors import WrongUse
from capsedge.measure.bench.plan import Plan, Scenario, limits_of


@pytest.mark.parametrize(("scenario", "iterations"), [("single-stream", 662), ("multi-stream", 662), ("offline", 64)])
def test_a_full_measurement_takes_10_seconds_and_the_runs_that_its_scenario_needs(
    scenario: Scenario, iterations: int
) -> None:
    limits = limits_of(Plan(scenario=scenario))

    assert (limits.timing.seconds, limits.timing.iterations, limits.timing.longest_seconds) == (
        10.0,
        iterations,
        180.0,
    )
    assert (limits.warmup.seconds, limits.warmup.iterations, limits.warmup.longest_seconds) == (1.0, 50, 10.0)


def test_a_quick_measurement_is_shorter_in_every_way() -> None:
    quick, full = limits_of(Plan(quick=True)), limits_of(Plan())

    assert (quick.timing.seconds, quick.timing.iterations, quick.timing.longest_seconds) == (1.0, 64, 10.0)
    assert quick.warmup.seconds < full.warmup.seconds
    assert quick.warmup.iterations < full.warmup.iterations
    assert quick.alone_seconds < full.alone_seconds


def test_seconds_that_are_asked_for_leave_the_fewest_runs_as_they_are() -> None:
    aim = limits_of(Plan(duration=0.5)).timing

    assert (aim.seconds, aim.iterations, aim.exact) == (0.5, 662, False)


def test_who_asks_for_more_seconds_than_a_session_may_take_gets_them() -> None:
    aim = limits_of(Plan(duration=600.0)).timing

    assert aim.longest_seconds > aim.seconds == 600.0


@pytest.mark.parametrize("quick", [False, True])
def test_runs_that_are_asked_for_are_the_only_aim(*, quick: bool) -> None:
    aim = limits_of(Plan(iterations=7, duration=3.0, quick=quick)).timing

    assert (aim.iterations, aim.exact, aim.seconds, aim.longest_seconds) == (7, True, 0.0, inf)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(batch=0), "expected batch above 0, got 0"),
        (Plan(duration=0.0), "expected duration above 0, got 0.0"),
        (Plan(duration=nan), "expected duration above 0, got nan"),
        (Plan(iterations=-1), "expected iterations above 0, got -1"),
        (Plan(interval_ms=-1.0), "expected an interval of 0 ms or more, got -1.0"),
        (Plan(interval_ms=nan), "expected an interval of 0 ms or more, got nan"),
    ],
)
def test_numbers_out_of_their_range_are_wrong_use(plan: Plan, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        limits_of(plan)
