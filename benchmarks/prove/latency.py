"""The step of latency: everything that ran here, side by side in one interleaved run for each batch size."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from benchmarks.prove.asked import BenchWanted, Opened
from benchmarks.prove.place import DYNAMIC, Place
from benchmarks.prove.record import Found, NotPossible
from capsedge.runtime.bench import LatencyReport

FIRST, SECOND = "fp32 on cpu", f"{DYNAMIC} on cpu"
"""What the others are compared with: the collapsed network in fp32, and dynamic routing, both on the CPU."""


def bench(place: Place) -> Iterator[Found]:
    """Time all; one record a batch size."""
    models = _ordered(place.opened)
    if not models:
        raise NotPossible("nothing ran here that could be timed")
    wanted = BenchWanted(tuple(models), place.plan.batches, place.plan.seconds)
    for report in place.job("latencies", wanted).answer(tuple[LatencyReport, ...]):
        rows = _rows(models, report)
        fastest = min(rows, key=lambda row: float(row["mean_ms"]))
        detail = f"fastest of {len(rows)}: {fastest['label']}, {fastest['mean_ms']:.3f} ms"
        data = {"batch": report.batch, "rows": rows, "report": msgspec.to_builtins(report)}
        yield Found(detail, data, what=f"batch {report.batch}")


def _ordered(models: Sequence[Opened]) -> list[Opened]:
    """The two that the others are compared with come first."""
    rank = {FIRST: 0, SECOND: 1}
    return sorted(models, key=lambda each: rank.get(each.label, len(rank)))


def _rows(models: Sequence[Opened], report: LatencyReport) -> list[dict[str, Any]]:
    """Latency of each model, and how many times as fast it is as each of the first two, where those ran."""
    times = {each.label: model.times_first for each, model in zip(models, report.models, strict=True)}
    return [
        {
            "label": each.label,
            "provider": model.provider,
            "mean_ms": model.mean_ms,
            "p50_ms": model.p50_ms,
            "p99_ms": model.p99_ms,
            "images_per_second": model.images_per_second,
            "faster_than_fp32": times[FIRST] / model.times_first if FIRST in times else None,
            "faster_than_dynamic": times[SECOND] / model.times_first if SECOND in times else None,
        }
        for each, model in zip(models, report.models, strict=True)
    ]
