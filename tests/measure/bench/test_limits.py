"""How long each plan measures."""

from math import inf, nan

import pytest

from capsedge.errors import WrongUse
from capsedge.measure.bench.limits import limits_of
from capsedge.measure.bench.plan import Plan, Scenario


@pytest.mark.parametrize(("scenario", "runs"), [("single-stream", 662), ("multi-stream", 662), ("offline", 64)])
def test_a_full_measurement_takes_10_seconds_and_the_runs_that_its_scenario_needs(
    scenario: Scenario, runs: int
) -> None:
    limits = limits_of(Plan(scenario=scenario))

    assert (limits.aim.seconds, limits.aim.runs, limits.aim.longest_seconds) == (10.0, runs, 180.0)
    assert (limits.settling.seconds, limits.settling.runs, limits.settling.longest_seconds) == (1.0, 50, 10.0)


def test_a_quick_look_is_shorter_in_every_way() -> None:
    quick, full = limits_of(Plan(quick=True)), limits_of(Plan())

    assert (quick.aim.seconds, quick.aim.runs, quick.aim.longest_seconds) == (1.0, 64, 10.0)
    assert quick.settling.seconds < full.settling.seconds
    assert quick.settling.runs < full.settling.runs
    assert quick.alone_seconds < full.alone_seconds


def test_seconds_that_are_asked_for_leave_the_fewest_runs_as_they_are() -> None:
    aim = limits_of(Plan(seconds=0.5)).aim

    assert (aim.seconds, aim.runs, aim.exact) == (0.5, 662, False)


def test_who_asks_for_more_seconds_than_a_session_may_take_gets_them() -> None:
    aim = limits_of(Plan(seconds=600.0)).aim

    assert aim.longest_seconds > aim.seconds == 600.0


@pytest.mark.parametrize("quick", [False, True])
def test_runs_that_are_asked_for_are_the_only_aim(*, quick: bool) -> None:
    aim = limits_of(Plan(runs=7, seconds=3.0, quick=quick)).aim

    assert (aim.runs, aim.exact, aim.seconds, aim.longest_seconds) == (7, True, 0.0, inf)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(batch=0), "bench wants batch above 0, 0 was given"),
        (Plan(seconds=0.0), "bench wants seconds above 0, 0.0 was given"),
        (Plan(seconds=nan), "bench wants seconds above 0, nan was given"),
        (Plan(runs=-1), "bench wants runs above 0, -1 was given"),
        (Plan(interval_ms=-1.0), "bench wants an interval of 0 ms or more, -1.0 was given"),
        (Plan(interval_ms=nan), "bench wants an interval of 0 ms or more, nan was given"),
    ],
)
def test_numbers_out_of_their_range_are_wrong_use(plan: Plan, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        limits_of(plan)
