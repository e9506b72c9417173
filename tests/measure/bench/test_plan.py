"""The limits of each plan."""

from math import inf, nan

import pytest

from capsedge.errors import WrongUse
from capsedge.measure.bench.benchmark import bench
from capsedge.measure.bench.plan import Plan, Scenario, limits_of


@pytest.mark.parametrize(("scenario", "iterations"), [("single-stream", 662), ("multi-stream", 662), ("offline", 64)])
def test_a_full_measurement_takes_10_seconds_and_the_iterations_that_its_scenario_needs(
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


def test_a_duration_keeps_the_fewest_iterations_and_raises_the_longest_time() -> None:
    short, long = (limits_of(Plan(duration=seconds)).timing for seconds in (0.5, 600.0))

    assert (short.seconds, short.iterations, short.exact) == (0.5, 662, False)
    assert long.longest_seconds > long.seconds == 600.0


@pytest.mark.parametrize("quick", [False, True])
def test_a_number_of_iterations_is_the_only_limit(*, quick: bool) -> None:
    aim = limits_of(Plan(iterations=7, duration=3.0, quick=quick)).timing

    assert (aim.iterations, aim.exact, aim.seconds, aim.longest_seconds) == (7, True, 0.0, inf)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        *((Plan(batch=batch), "expected a batch from 1 to 1,000,000 images, got") for batch in (0, -1, 10**400)),
        *((Plan(iterations=count), "expected 1 to 10,000,000 iterations, got") for count in (0, -1, 10**400)),
        *(
            (Plan(duration=seconds), r"expected a duration above 0 s, up to 86,400 s \(a day\), got")
            for seconds in (0.0, -1.0, nan, inf, 1e308)
        ),
        *(
            (Plan(interval_ms=pause), r"expected an interval from 0 to 3,600,000 ms \(an hour\), got")
            for pause in (-1.0, nan, inf, 1e300)
        ),
        *((Plan(concurrency=count), "expected a concurrency from 1 to 256, got") for count in (0, -1, 257)),
        *((Plan(scenario="server", qps=qps), r"expected a rate above 0, up to") for qps in (0.0, -1.0, nan, 1e7)),
        *(
            (Plan(scenario="server", p99_ms=bound), r"expected a bound of p99 above 0 ms, up to")
            for bound in (0.0, -1.0, nan, inf, 1e9)
        ),
    ],
)
def test_numbers_out_of_their_range_are_refused_before_a_model_is_opened(plan: Plan, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        bench("there is no such model", plan)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Plan(scenario="server"), "the scenario 'server' needs --qps .* or --p99-ms"),
        (Plan(qps=5.0), "--qps and --p99-ms belong to --scenario server, got single-stream"),
        (Plan(scenario="offline", p99_ms=5.0), "--qps and --p99-ms belong to --scenario server, got offline"),
        (Plan(scenario="server", qps=5.0, interval_ms=5.0), "--interval-ms needs a single client"),
        (
            Plan(scenario="server", p99_ms=5.0, iterations=661),
            "--p99-ms needs at least 662 queries .*--iterations 661",
        ),
        (
            Plan(scenario="server", qps=1e-6),
            r"at 1e-06 queries/s, 11 queries do not arrive within 180 s: raise --qps",
        ),
        (Plan(scenario="server", qps=0.01, iterations=1000), "1,000 queries do not arrive .*, or lower --iterations"),
        (
            Plan(scenario="server", qps=1e6, duration=86_400),
            "expected at most 10,000,000 queries in a trial, got 1,000,000 queries/s for 86,400 s",
        ),
        (Plan(concurrency=2, interval_ms=5.0), "--interval-ms needs a single client"),
        (Plan(concurrency=2, iterations=100), "--iterations cannot be shared out among several clients"),
    ],
)
def test_options_of_a_deployment_that_contradict_each_other_are_refused(plan: Plan, message: str) -> None:
    with pytest.raises(WrongUse, match=message):
        limits_of(plan)


def test_a_trial_has_the_queries_for_p99_also_in_a_quick_measurement() -> None:
    quick = limits_of(Plan(scenario="server", qps=1.0, quick=True)).timing

    assert (quick.seconds, quick.iterations, quick.longest_seconds) == (1.0, 662, 180.0)
