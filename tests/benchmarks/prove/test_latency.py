"""The step of latency: what it asks for, what it makes of the answer, and its job on real files."""

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from benchmarks.prove import latency
from benchmarks.prove.asked import BenchWanted, Opened
from benchmarks.prove.jobs import latencies
from benchmarks.prove.place import FULL
from benchmarks.prove.record import NotPossible
from capsedge.measure.bench.plan import Plan
from capsedge.measure.bench.report import Breakdown, Case, Group, Ratio, Warmup
from capsedge.measure.machine import Conditions
from capsedge.runtime.settings import Settings
from tests.benchmarks.prove.places import Stage, printed
from tests.runtime.conftest import good, models

__all__ = ["good", "models"]

INT8, FP32, DYNAMIC = (
    Opened("int8 on cuda", "b", "cuda"),
    Opened("fp32 on cpu", "a", "cpu"),
    Opened("dynamic on cpu", "c", "cpu"),
)


def case(label: str, mean_ms: float, ratio: float | None) -> Case:
    return Case(
        label=label,
        model=label,
        precision=None,
        routing=None,
        error=None,
        error_on=None,
        provider="P",
        settings=Settings(),
        warmup=Warmup(iterations=50, seconds=1.0, settled=True),
        iterations=662,
        mean_ms=mean_ms,
        min_ms=mean_ms,
        max_ms=mean_ms,
        percentiles=(),
        images_per_second=1000 / mean_ms,
        breakdown=Breakdown(),
        energy_mj="unavailable",
        ratio=None if ratio is None else Ratio(value=ratio),
        samples_ms=(),
    )


def group(*cases: Case) -> Group:
    return Group(
        scenario="single-stream",
        batch=1,
        interval_ms=0.0,
        quick=False,
        rounds=20,
        before=Conditions(),
        after=Conditions(),
        warnings=(),
        cases=cases,
    )


def test_the_others_are_held_against_fp32_and_dynamic_routing_wherever_they_were_opened(tmp_path: Path) -> None:
    answer = group(case("fp32 on cpu", 2.0, None), case("dynamic on cpu", 6.0, 3.0), case("int8 on cuda", 0.5, 0.25))
    place = Stage(tmp_path, lambda *_: printed([answer]))
    place.opened = [INT8, DYNAMIC, FP32]

    (found,) = latency.bench(place)

    ((_, wanted),) = place.asked
    assert wanted.models == (FP32, DYNAMIC, INT8)
    assert found.detail == "fastest of 3: int8 on cuda, 0.500 ms"
    assert [(row["faster_than_fp32"], row["faster_than_dynamic"]) for row in found.data["rows"]] == [
        (1.0, 3.0),
        (pytest.approx(1 / 3), 1.0),
        (4.0, 12.0),
    ]


def test_what_did_not_run_is_not_compared_with(tmp_path: Path) -> None:
    place = Stage(tmp_path, lambda *_: printed([group(case("int8 on cuda", 0.5, None))]))
    place.opened = [INT8]

    (found,) = latency.bench(place)

    (row,) = found.data["rows"]
    assert (row["faster_than_fp32"], row["faster_than_dynamic"]) == (None, None)


def test_a_full_proof_has_a_scenario_for_each_batch_and_a_quick_one_is_marked(tmp_path: Path) -> None:
    place = Stage(tmp_path, lambda *_: printed([]))
    place.opened = [FP32]
    list(latency.bench(place))
    place.plan = replace(FULL)
    list(latency.bench(place))

    (_, quick), (_, full) = place.asked
    assert [plan.quick for plan in quick.plans] == [True, True]
    assert [(plan.scenario, plan.batch, plan.duration, plan.quick) for plan in full.plans] == [
        ("single-stream", 1, 3.0, False),
        ("multi-stream", 8, 3.0, False),
        ("offline", 64, 3.0, False),
    ]


def test_nothing_that_ran_is_nothing_to_time(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="nothing ran here that could be timed"):
        list(latency.bench(Stage(tmp_path, lambda *_: printed([]))))


def test_the_job_times_real_files_after_each_plan_and_leaves_the_samples_out(good: Path) -> None:
    opened = (Opened("one", str(good), "cpu"), Opened("two", str(good), None))
    plans = tuple(Plan(batch=batch, iterations=12, quick=True, breakdown=False) for batch in (1, 8))

    answer = latencies.work(BenchWanted(opened, plans))

    assert [each.batch for each in answer] == [1, 8]
    assert [[case.label for case in each.cases] for each in answer] == [["one", "two"]] * 2
    assert all(case.samples_ms == () and case.iterations == 12 for each in answer for case in each.cases)
    assert msgspec.json.decode(msgspec.json.encode(answer), type=list[Group]) == answer
