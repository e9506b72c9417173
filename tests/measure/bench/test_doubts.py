"""What makes figures weaker than they look."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from capsedge.measure.bench import doubts
from capsedge.measure.bench.limits import limits_of
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Case, Parts, Warmup
from capsedge.measure.machine import Conditions
from capsedge.runtime.settings import Settings

CASE = Case(
    label="runs/a int8",
    model="runs/a/model.int8.onnx",
    precision="int8",
    routing="l2, collapsed",
    error=0.1,
    error_on="test",
    provider="CPUExecutionProvider",
    settings=Settings(threads=2),
    warmup=Warmup(runs=60, seconds=1.1, settled=True),
    runs=662,
    mean_ms=1.0,
    min_ms=1.0,
    max_ms=1.0,
    percentiles=(),
    images_per_second=1000.0,
    parts=Parts(),
    energy_mj="unavailable",
    ratio=None,
    samples_ms=(),
)
FULL = Plan()
COOL = Conditions(cpu_mhz=3000.0, gpu_mhz=1500.0, gpu_memory_mhz=5000.0, gpu_throttling=())


def about_case(plan: Plan = FULL, **changes: Any) -> list[str]:
    return list(doubts.about_case(replace(CASE, **changes), plan, limits_of(plan), cores=2))


@pytest.fixture(autouse=True)
def nothing_is_our_own_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "load_of_others", lambda average: average)


def test_a_good_measurement_has_none() -> None:
    assert about_case() == []
    assert list(doubts.about_plan(Plan())) == []
    assert list(doubts.about_load(0.5, cores=2)) == []
    assert list(doubts.about_machine(COOL, COOL, [])) == []
    assert list(doubts.about_rounds([CASE, CASE], 83)) == []


def test_what_a_machine_does_not_tell_is_no_reason_to_doubt() -> None:
    assert list(doubts.about_load("unavailable", cores=2)) == []
    assert list(doubts.about_machine(Conditions(), COOL, [])) == []
    assert list(doubts.about_machine(COOL, Conditions(), [])) == []


def test_a_quick_look_is_said() -> None:
    (doubt,) = doubts.about_plan(Plan(quick=True))

    assert "quick look" in doubt


def test_a_load_of_more_than_a_quarter_of_the_cores_is_said() -> None:
    (doubt,) = doubts.about_load(0.51, cores=2)

    assert "load average of 0.51 on 2 cores" in doubt


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_throttling_is_said_whenever_it_was_seen(when: str) -> None:
    hot = Conditions(gpu_throttling=("thermal",))
    before, after = (hot if when == name else COOL for name in ("before", "after"))

    (doubt,) = doubts.about_machine(before, after, ["thermal"] if when == "during" else [])

    assert "slowed itself down during the measurement (thermal)" in doubt


def test_a_reason_that_was_seen_three_times_is_named_once() -> None:
    hot = Conditions(gpu_throttling=("thermal", "power"))

    (doubt,) = doubts.about_machine(hot, hot, ["power"])

    assert "(thermal, power)" in doubt


@pytest.mark.parametrize(
    ("clock", "named"),
    [("cpu_mhz", "processor"), ("gpu_mhz", "GPU"), ("gpu_memory_mhz", "GPU's memory")],
)
def test_a_clock_that_fell_by_more_than_a_tenth_is_said(clock: str, named: str) -> None:
    start = getattr(COOL, clock)
    fall: Callable[[float], Iterator[str]] = lambda share: doubts.about_machine(  # noqa: E731
        COOL, replace(COOL, **{clock: share * start}), []
    )

    assert list(fall(0.91)) == []
    assert list(fall(1.5)) == []
    (doubt,) = fall(0.89)
    assert f"the clock of the {named} fell from {start:.0f} to {0.89 * start:.0f} MHz" in doubt


def test_a_warm_up_that_never_settled_names_the_case() -> None:
    (doubt,) = about_case(warmup=Warmup(runs=7, seconds=10.2, settled=False))

    assert doubt.startswith("'runs/a int8' never settled: after 7 runs in 10.2 s")


@pytest.mark.parametrize(
    ("runs", "plan", "said"),
    [
        (400, Plan(), "p99 needs 662 runs, 400 were made in the 180 s that it may take"),
        (100, Plan(runs=100), "p95 needs 130 runs, p99 needs 662 runs, 100 were made as asked"),
        (64, Plan(quick=True), "p95 needs 130 runs, p99 needs 662 runs, 64 were made"),
        (20, Plan(scenario="offline"), "p90 needs 64 runs, 20 were made in the 180 s that it may take"),
    ],
)
def test_percentiles_that_are_missing_are_named_with_the_runs_that_they_need(
    runs: int, plan: Plan, said: str
) -> None:
    (doubt,) = about_case(plan, runs=runs)

    assert doubt == f"'runs/a int8' lacks percentiles: {said}"


def test_offline_needs_no_p99_and_nothing_needs_p99_9() -> None:
    assert about_case(Plan(scenario="offline"), runs=64) == []
    assert about_case(Plan(scenario="multi-stream"), runs=662) == []


def test_more_threads_than_cores_are_said() -> None:
    (doubt,) = about_case(settings=Settings(threads=3))

    assert "3 threads on 2 cores" in doubt


def test_operators_that_fell_back_are_named() -> None:
    (doubt,) = about_case(settings=Settings(provider="cuda"), fell_back=("Conv", "Gemm"))

    assert doubt == "'runs/a int8' did not run on cuda alone: Conv, Gemm fell back to the CPU"


def test_a_ratio_without_an_interval_is_said_where_there_is_one() -> None:
    (doubt,) = doubts.about_rounds([CASE, CASE], 11)

    assert "12 rounds, 11 were made" in doubt
    assert list(doubts.about_rounds([CASE], 1)) == []
