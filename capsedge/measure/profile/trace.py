"""Runs as a trace for Perfetto (ui.perfetto.dev) and chrome://tracing, with the start and duration of every node.

The format is Chromium's Trace Event Format, complete events (`ph: X`) with times in microseconds. Events of one track
nest by their times: a run contains its stages, a stage its nodes, and an If or Loop the nodes of its subgraphs.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from capsedge.errors import WrongUse
from capsedge.measure.profile.ort_events import NodeTime, RunTime
from capsedge.measure.profile.report import LayerTime, Profile

TYPICAL_RUNS = 10
TRACE_MARK = "capsedge profile --trace"
_PROCESS, _TRACK = 1, 1


def check_trace(file: Path) -> None:
    """Refuse a file name without the suffix .json before anything is measured.

    Raises:
        WrongUse: It does not end in .json.
    """
    if file.suffix.lower() != ".json":
        raise WrongUse(f"--trace: expected a name that ends in .json, got '{file}'")


def trace_of(profile: Profile, runs: Sequence[RunTime], *, most: int = TYPICAL_RUNS) -> bytes:
    """Encode typical runs, those with times nearest to the median, as JSON.

    Args:
        profile: The profile of the runs.
        runs: Every timed run.
        most: Largest number of runs to write.
    """
    events: list[dict[str, Any]] = [
        {
            "ph": "M",
            "pid": _PROCESS,
            "name": "process_name",
            "args": {"name": f"{profile.model} ({profile.provider})"},
        },
        {"ph": "M", "pid": _PROCESS, "tid": _TRACK, "name": "thread_name", "args": {"name": "runs, stages, nodes"}},
    ]
    for number, run in _typical(runs, most):
        events.extend(_events(number, run, profile.layers))
    whole = {
        "displayTimeUnit": "ms",
        "traceEvents": events,
        "otherData": {"generator": TRACE_MARK, "model": profile.model},
    }
    return msgspec.json.encode(whole)


def _typical(runs: Sequence[RunTime], most: int) -> list[tuple[int, RunTime]]:
    """The runs nearest to the median with their numbers, in the order of execution."""
    middle = median(run.duration_us for run in runs) if runs else 0
    nearest = sorted(enumerate(runs), key=lambda numbered: abs(numbered[1].duration_us - middle))[:most]
    return sorted(nearest, key=lambda numbered: numbered[0])


def _events(number: int, run: RunTime, layers: Sequence[LayerTime]) -> Iterator[dict[str, Any]]:
    end_us = max([run.start_us + run.duration_us, *(node.start_us + node.duration_us for node in run.nodes)])
    yield _event(f"run {number}", "run", run.start_us, end_us - run.start_us, {"nodes": len(run.nodes)})
    known = [_layer(layers, place, node) for place, node in enumerate(run.nodes)]
    for stage, group in groupby(zip(run.nodes, known, strict=True), lambda pair: _stage(pair[1])):
        pairs = list(group)
        start_us = pairs[0][0].start_us
        stage_end_us = max(node.start_us + node.duration_us for node, _ in pairs)
        yield _event(stage, "stage", start_us, stage_end_us - start_us, {"nodes": len(pairs)})
        for node, layer in pairs:
            yield _event(node.name, "node", node.start_us, node.duration_us, _facts(node, layer))
            for inner in node.inner:
                yield _event(inner.name, "node within", inner.start_us, inner.duration_us, _facts(inner, None))


def _stage(layer: LayerTime | None) -> str:
    return "unknown" if layer is None else layer.stage


def _layer(layers: Sequence[LayerTime], place: int, node: NodeTime) -> LayerTime | None:
    """The profile's layer of a node; all runs have their nodes in the same order."""
    return layers[place] if place < len(layers) and layers[place].name == node.name else None


def _facts(node: NodeTime, layer: LayerTime | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "op": node.op,
        "provider": node.provider,
        "output": [f"{tensor.kind} {list(tensor.shape)}" for tensor in node.outputs],
    }
    if layer is not None:
        known = {"layer": layer.layer, "type": layer.kind, "flops": layer.flops, "of roof": layer.of_roof}
        facts |= {name: value for name, value in known.items() if value}
    return facts


def _event(name: str, category: str, start_us: int, duration_us: int, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "ph": "X",
        "pid": _PROCESS,
        "tid": _TRACK,
        "name": name,
        "cat": category,
        "ts": start_us,
        "dur": duration_us,
        "args": facts,
    }
