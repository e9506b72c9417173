"""Warnings about a measurement."""

from typing import Any

import pytest
from msgspec.structs import replace

from capsedge.measure.bench import warnings
from capsedge.measure.bench.plan import Plan, limits_of
from capsedge.measure.bench.report import BenchWarning, Warmup
from capsedge.measure.bench.warnings import load_of_others, own_load
from capsedge.measure.machine import Conditions
from capsedge.runtime.settings import Settings
from tests.measure.bench.reports import case

CASE = case("runs/a int8", [[1.0]], iterations=662, warmup=Warmup(iterations=60, seconds=1.1, settled=True))
FULL = Plan()
COOL = Conditions(cpu_mhz=3000.0, gpu_mhz=1500.0, gpu_memory_mhz=5000.0, gpu_throttling=())


def about_case(plan: Plan = FULL, **changes: Any) -> list[BenchWarning]:
    return list(warnings.about_case(replace(CASE, **changes), plan, limits_of(plan), cores=2))


@pytest.fixture(autouse=True)
def nothing_is_our_own_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "load_of_others", lambda average: average)


def test_a_good_measurement_has_none() -> None:
    assert about_case() == []
    assert list(warnings.about_plan(Plan())) == []
    assert list(warnings.about_load(0.5, cores=2)) == []
    assert list(warnings.about_machine(COOL, COOL, [])) == []
    assert list(warnings.about_rounds([CASE, CASE], 83)) == []


def test_an_unavailable_reading_gives_no_warning() -> None:
    assert list(warnings.about_load("unavailable", cores=2)) == []
    assert list(warnings.about_machine(Conditions(), COOL, [])) == []
    assert list(warnings.about_machine(COOL, Conditions(), [])) == []


def test_a_load_of_more_than_a_quarter_of_the_cores_gives_a_warning() -> None:
    (warning,) = warnings.about_load(0.51, cores=2)

    assert "load average of 0.51 on 2 cores" in warning.text


@pytest.mark.parametrize(
    ("before", "during", "after"),
    [
        (("thermal",), [], ()),
        ((), ["thermal"], ()),
        ((), [], ("thermal",)),
        (("thermal",), ["thermal"], ("thermal",)),
    ],
)
def test_each_reason_of_throttling_before_during_or_after_the_rounds_is_named_once(
    before: tuple[str, ...], during: list[str], after: tuple[str, ...]
) -> None:
    start, end = (replace(COOL, gpu_throttling=reasons) for reasons in (before, after))

    (warning,) = warnings.about_machine(start, end, during)

    assert (warning.code, "(thermal)" in warning.text) == ("gpu-throttled", True)


@pytest.mark.parametrize(
    ("clock", "named"),
    [("cpu_mhz", "processor"), ("gpu_mhz", "GPU"), ("gpu_memory_mhz", "GPU's memory")],
)
def test_a_clock_that_fell_by_more_than_a_tenth_gives_a_warning(clock: str, named: str) -> None:
    start = getattr(COOL, clock)
    slower, equal, faster = (replace(COOL, **{clock: share * start}) for share in (0.89, 0.91, 1.5))

    assert [*warnings.about_machine(COOL, equal, []), *warnings.about_machine(COOL, faster, [])] == []
    (warning,) = warnings.about_machine(COOL, slower, [])
    assert f"the clock of the {named} fell from {start:.0f} to {0.89 * start:.0f} MHz" in warning.text


@pytest.mark.parametrize(
    ("iterations", "plan", "said"),
    [
        (400, Plan(), "p99 needs 662 iterations, 400 were made within the limit of 180 s"),
        (100, Plan(iterations=100), "p95 needs 130 iterations, p99 needs 662 iterations, 100 were made as requested"),
        (64, Plan(quick=True), "p95 needs 130 iterations, p99 needs 662 iterations, 64 were made"),
        (20, Plan(scenario="offline"), "p90 needs 64 iterations, 20 were made within the limit of 180 s"),
    ],
)
def test_missing_percentiles_are_named_with_the_iterations_that_they_need(
    iterations: int, plan: Plan, said: str
) -> None:
    (warning,) = about_case(plan, iterations=iterations)

    assert str(warning) == f"'runs/a int8': percentiles are missing: {said}"
    assert warning.code == "few-iterations"


def test_offline_needs_no_p99_and_nothing_needs_p99_9() -> None:
    assert about_case(Plan(scenario="offline"), iterations=64) == []
    assert about_case(Plan(scenario="multi-stream"), iterations=662) == []


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"settings": Settings(threads=3)}, "oversubscribed", "3 threads share 2 cores"),
        (
            {"settings": Settings(provider="cuda"), "fell_back": ("Conv", "Gemm")},
            "fell-back",
            "Conv, Gemm ran on the CPU instead of cuda",
        ),
        ({"warmup": Warmup(iterations=7, seconds=10.2, settled=False)}, "not-settled", "7 iterations in 10.2 s"),
    ],
)
def test_too_many_threads_a_fallback_and_an_unsettled_warm_up_name_the_case(
    changes: dict[str, Any], code: str, text: str
) -> None:
    (warning,) = about_case(**changes)

    assert (warning.code, warning.case) == (code, "runs/a int8")
    assert text in warning.text


@pytest.mark.parametrize(
    ("concurrency", "threads", "said"),
    [
        (2, 2, "4 threads (--concurrency 2 times --threads) share 2 cores and wait for each other: use --threads 1"),
        (
            3,
            0,
            "3 threads (--concurrency 3 times --threads) share 2 cores and wait for each other: lower --concurrency",
        ),
        (2, 1, None),
        (2, 0, None),
    ],
)
def test_the_threads_of_all_clients_count(concurrency: int, threads: int, said: str | None) -> None:
    found = about_case(Plan(concurrency=concurrency), settings=Settings(threads=threads))

    assert [each.code for each in found] == ["oversubscribed"] * (said is not None)
    assert all(each.text.startswith(said or "") for each in found)


def test_a_ratio_without_an_interval_gives_a_warning() -> None:
    (warning,) = warnings.about_rounds([CASE, CASE], 11)

    assert "12 rounds, 11 were made" in warning.text
    assert list(warnings.about_rounds([CASE], 1)) == []


def kernel_average(running: float, seconds: int) -> float:
    """The average as a kernel keeps it, a step each 5 s from a quiet machine on: Linux's EXP_1 is 1884 / 2048."""
    average = 0.0
    for _ in range(seconds // 5):
        average = average * 1884 / 2048 + running * (1 - 1884 / 2048)
    return average


@pytest.mark.parametrize("seconds", [5, 30, 60, 300])
def test_the_load_of_this_process_follows_the_kernel_s_average(seconds: int) -> None:
    assert own_load(2.0, seconds) == pytest.approx(kernel_average(2.0, seconds), rel=0.01)


def test_the_load_of_other_programs_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsedge.measure.bench.warnings._STARTED", -60.0)
    monkeypatch.setattr("capsedge.measure.bench.warnings._USED", -120.0)
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    monkeypatch.setattr("time.process_time", lambda: 0.0)

    assert load_of_others(2.0) == pytest.approx(2.0 - kernel_average(2.0, 60), abs=0.01)
    assert load_of_others(0.5) == 0.0
    assert load_of_others("unavailable") == "unavailable"
