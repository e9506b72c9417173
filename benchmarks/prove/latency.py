"""The step of latency: everything that ran here, side by side in one interleaved run for each batch size."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from benchmarks.prove.asked import BenchWanted, Opened
from benchmarks.prove.place import DYNAMIC, Place
from benchmarks.prove.record import Found, NotPossible
from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.measure.bench.report import Case, Group

FIRST, SECOND = "fp32 on cpu", f"{DYNAMIC} on cpu"
"""What the others are compared with: the collapsed network in fp32, and dynamic routing, both on the CPU."""

_SCENARIOS: dict[int, Scenario] = {1: "single-stream", 8: "multi-stream"}
# A proof that gives a model less than a second proves only that the command works.
_QUICK_SECONDS = 1.0


def bench(place: Place) -> Iterator[Found]:
    """Time all; one record a batch size."""
    models = _ordered(place.opened)
    if not models:
        raise NotPossible("nothing ran here that could be timed")
    plans = tuple(_plan(batch, place.plan.seconds) for batch in place.plan.batches)
    for group in place.job("latencies", BenchWanted(tuple(models), plans)).answer(tuple[Group, ...]):
        rows = _rows(group)
        fastest = min(rows, key=lambda row: float(row["mean_ms"]))
        detail = f"fastest of {len(rows)}: {fastest['label']}, {fastest['mean_ms']:.3f} ms"
        data = {"batch": group.batch, "rows": rows, "report": msgspec.to_builtins(group)}
        yield Found(detail, data, what=f"batch {group.batch}")


def _ordered(models: Sequence[Opened]) -> list[Opened]:
    """The two that the others are compared with come first."""
    rank = {FIRST: 0, SECOND: 1}
    return sorted(models, key=lambda each: rank.get(each.label, len(rank)))


def _plan(batch: int, seconds: float) -> Plan:
    return Plan(
        scenario=_SCENARIOS.get(batch, "offline"), batch=batch, duration=seconds, quick=seconds < _QUICK_SECONDS
    )


def _rows(group: Group) -> list[dict[str, Any]]:
    """Latency of each model, and how many times as fast it is as each of the first two, where those ran."""
    times = {case.label: 1.0 if case.ratio is None else case.ratio.value for case in group.cases}
    return [
        {
            "label": case.label,
            "provider": case.provider,
            "mean_ms": case.mean_ms,
            "p50_ms": _percentile(case, 50),
            "p99_ms": _percentile(case, 99),
            "images_per_second": case.images_per_second,
            "faster_than_fp32": times[FIRST] / times[case.label] if FIRST in times else None,
            "faster_than_dynamic": times[SECOND] / times[case.label] if SECOND in times else None,
        }
        for case in group.cases
    ]


def _percentile(case: Case, percent: float) -> float | None:
    return next((each.value_ms for each in case.percentiles if each.percent == percent), None)
