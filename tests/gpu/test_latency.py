"""Latency: everything that ran here, side by side in one interleaved measurement for each batch size."""

from typing import Any

import msgspec
import pytest

from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.measure.bench.report import Case, Group
from tests.gpu import jobs
from tests.gpu.artifacts import DYNAMIC, Artifacts
from tests.gpu.conftest import Saw
from tests.gpu.process import isolated

pytestmark = pytest.mark.gpu

FIRST, SECOND = "fp32 on cpu", f"{DYNAMIC} on cpu"
"""What the others are compared with: the collapsed network in fp32, and dynamic routing, both on the CPU."""

SCENARIOS: dict[int, Scenario] = {1: "single-stream", 8: "multi-stream", 64: "offline"}
# A proof that gives a model less than a second proves only that it works.
QUICK_SECONDS = 1.0


def test_all_that_ran_is_timed_side_by_side(artifacts: Artifacts, saw: Saw, batch: int) -> None:
    if not artifacts.opened:
        pytest.skip("nothing ran that could be timed: select the tests of providers or of engines too")
    rank = {FIRST: 0, SECOND: 1}
    models = sorted(artifacts.opened, key=lambda each: rank.get(each.title, len(rank)))
    seconds = artifacts.plan.seconds
    plan = Plan(scenario=SCENARIOS[batch], batch=batch, duration=seconds, quick=seconds < QUICK_SECONDS)
    group = isolated(jobs.latencies, models, plan)
    rows = rows_of(group)
    fastest = min(rows, key=lambda row: float(row["mean_ms"]))
    text = f"fastest of {len(rows)}: {fastest['label']}, {fastest['mean_ms']:.3f} ms"
    saw(text, batch=batch, rows=rows, report=msgspec.to_builtins(group))
    assert [case.label for case in group.cases] == [model.title for model in models]
    assert all(case.mean_ms > 0 for case in group.cases)


def rows_of(group: Group) -> list[dict[str, Any]]:
    """Latency of each model, and how many times as fast it is as each of the first two, where those ran."""
    times = {case.label: 1.0 if case.ratio is None else case.ratio.value for case in group.cases}
    return [
        {
            "label": case.label,
            "provider": case.provider,
            "mean_ms": case.mean_ms,
            "p50_ms": percentile(case, 50),
            "p99_ms": percentile(case, 99),
            "images_per_second": case.images_per_second,
            "faster_than_fp32": times[FIRST] / times[case.label] if FIRST in times else None,
            "faster_than_dynamic": times[SECOND] / times[case.label] if SECOND in times else None,
        }
        for case in group.cases
    ]


def percentile(case: Case, percent: float) -> float | None:
    """A percentile in ms, where the sample supports it."""
    return next((each.value_ms for each in case.percentiles if each.percent == percent), None)
