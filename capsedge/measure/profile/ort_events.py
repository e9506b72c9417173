"""Reading ONNX Runtime's profile, a JSON file of events, as timed runs and nodes.

The file has a line for each event, half a kilobyte for each node of each run. It is therefore read line by line, and
only the required runs are kept.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from sys import intern

import msgspec

from capsedge.errors import ModelError, damage
from capsedge.onnx_lite.tensor import Tensor

_SUFFIX = "_kernel_time"


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One execution of a node.

    Attributes:
        name: Name of the node, or its operator and index where it has none.
        op: Its operator.
        provider: The execution provider that ran it.
        start_us: Start on the profile's clock.
        duration_us: Whole microseconds, rounded down by ONNX Runtime.
        inputs: Type and shape of its inputs as recorded; prepacked weights are missing.
        outputs: Type and shape of its outputs.
        inner: Nodes of its subgraphs (If, Loop, Scan); their times are part of its own.
    """

    name: str
    op: str
    provider: str
    start_us: int
    duration_us: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    inner: tuple["NodeTime", ...] = ()


@dataclass(frozen=True, slots=True)
class RunTime:
    """One run of the model.

    Attributes:
        start_us: Start on the profile's clock.
        duration_us: Time of the call within ONNX Runtime.
        nodes: In the order of execution; those of subgraphs are in `NodeTime.inner`.
    """

    start_us: int
    duration_us: int
    nodes: tuple[NodeTime, ...]


class _Arguments(msgspec.Struct, frozen=True):
    op_name: str = ""
    provider: str = ""
    input_type_shape: msgspec.Raw = msgspec.Raw(b"[]")  # the same few in every run, so each is decoded once
    output_type_shape: msgspec.Raw = msgspec.Raw(b"[]")


class _Event(msgspec.Struct, frozen=True):
    name: str
    cat: str = ""
    ts: int = 0
    dur: int = 0
    args: _Arguments = _Arguments()


def read_profile(file: Path, *, keep: Sequence[bool]) -> list[RunTime]:
    """Read the file that `end_profiling` wrote.

    Args:
        file: The JSON file, with an event on each line.
        keep: For each run, in order, whether to return it: the file contains warm-up runs too.

    Raises:
        ModelError: The file has another format, or another number of runs.
        OSError: It cannot be read.
    """
    try:
        return _kept(file, keep)
    except msgspec.MsgspecError as error:
        raise ModelError(
            f"the profile that ONNX Runtime wrote cannot be read ({damage(error)}): its release is too new or too old"
        ) from error


def _kept(file: Path, keep: Sequence[bool]) -> list[RunTime]:
    runs = sorted((event.ts, event.dur) for event in _events(file, b"model_run") if event.name == "model_run")
    if len(runs) != len(keep):
        raise ModelError(
            f"ONNX Runtime's profile holds {len(runs)} of the {len(keep)} iterations that ran",
            "use fewer --iterations",
        )
    nodes: list[list[NodeTime]] = [[] for _ in runs]
    starts = [start_us for start_us, _ in runs]
    tensors = cache(_tensors)
    for event in _events(file, _SUFFIX.encode()):
        index = bisect_right(starts, event.ts) - 1
        if event.cat == "Node" and event.name.endswith(_SUFFIX) and index >= 0 and keep[index]:
            nodes[index].append(_node(event, tensors))
    return [
        RunTime(start_us, duration_us, tuple(_outer(its)))
        for (start_us, duration_us), its, wanted in zip(runs, nodes, keep, strict=True)
        if wanted
    ]


def _outer(nodes: Sequence[NodeTime]) -> Iterator[NodeTime]:
    """Yield the nodes of the main graph with their inner nodes; ONNX Runtime lists nodes of subgraphs beside them.

    It runs one node at a time, so a node that starts before another one has ended lies within it. Of nodes that start
    in the same microsecond, those of duration 0 come first, and the longest of the others contains the rest.
    """
    groups: list[list[NodeTime]] = []
    end_us = 0
    for node in sorted(nodes, key=lambda node: (node.start_us, node.duration_us > 0, -node.duration_us)):
        if node.start_us < end_us:
            groups[-1].append(node)
        else:
            groups.append([node])
        end_us = max(end_us, node.start_us + node.duration_us)
    for node, *inner in groups:
        yield replace(node, inner=tuple(inner)) if inner else node


def _events(file: Path, word: bytes) -> Iterator[_Event]:
    """Yield the events whose lines contain a word."""
    decode = msgspec.json.Decoder(_Event).decode
    with file.open("rb") as lines:
        for line in lines:
            if word in line:
                yield decode(line.strip().removesuffix(b","))


def _node(event: _Event, tensors: Callable[[bytes], tuple[Tensor, ...]]) -> NodeTime:
    return NodeTime(
        name=intern(event.name.removesuffix(_SUFFIX)),
        op=intern(event.args.op_name),
        provider=intern(event.args.provider),
        start_us=event.ts,
        duration_us=event.dur,
        inputs=tensors(bytes(event.args.input_type_shape)),
        outputs=tensors(bytes(event.args.output_type_shape)),
    )


def _tensors(described: bytes) -> tuple[Tensor, ...]:
    found = msgspec.json.decode(described, type=list[dict[str, tuple[int, ...]]])
    return tuple(Tensor(kind, shape) for each in found for kind, shape in each.items())
