"""What TensorBoard reads from a run's event files, and what it should."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from capsedge.training import Run
from capsedge.training.metrics import read_metrics

Curves = Mapping[str, Sequence[tuple[int, float]]]  # (step, figure) by tag
_OF_B = ("mean", "spread", "largest", "negative", "zero")


def curves_of_events(run: Run) -> Curves:
    """The curves of the event files, by TensorBoard's own reader."""
    reader = EventAccumulator(str(run.tensorboard), size_guidance={"scalars": 0})
    reader.Reload()
    return {tag: [(each.step, each.value) for each in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def curves_of_metrics(run: Run) -> Curves:
    """The curves of metrics.jsonl, in the 32 bits that an event has."""
    rows = read_metrics(run.metrics)
    trained, validated = ([row for row in rows if row["kind"] == kind] for kind in ("training", "validation"))
    assert trained
    assert validated
    curves = {f"training/{name}": _curve(trained, name) for name in ("loss", "error", "images_per_second")}
    curves |= {f"validation/{name}": _curve(validated, name) for name in ("loss", "error")}
    if validated[0]["b"] is not None:
        curves |= {f"b/{name}": _curve([row["b"] | row for row in validated], name) for name in _OF_B}
    return curves


def _curve(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[int, float]]:
    return [(row["step"], float(np.float32(row[name]))) for row in rows]
