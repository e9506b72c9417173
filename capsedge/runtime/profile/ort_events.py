"""ONNX Runtime's profile: its JSON file of events, as the runs and nodes that it timed."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from capsedge.errors import ModelError
from capsedge.runtime.profile.graph import Tensor

_SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class NodeTime:
    """One execution of a node.

    Attributes:
        name: The node's, or its operator and index where it has none.
        op: Its operator.
        provider: The execution provider that ran it.
        start_us: On the profile's clock.
        duration_us: In whole microseconds, rounded down by ONNX Runtime.
        inputs: What it took, as the profiler tells it: a weight that was packed beforehand is missing.
        outputs: What it made.
    """

    name: str
    op: str
    provider: str
    start_us: int
    duration_us: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class RunTime:
    """One run of the model.

    Attributes:
        start_us: On the profile's clock.
        duration_us: From ONNX Runtime taking the inputs to its giving the outputs.
        nodes: In the order in which they ran.
    """

    start_us: int
    duration_us: int
    nodes: tuple[NodeTime, ...]


class _Arguments(msgspec.Struct, frozen=True):
    op_name: str = ""
    provider: str = ""
    input_type_shape: list[dict[str, tuple[int, ...]]] = []
    output_type_shape: list[dict[str, tuple[int, ...]]] = []


class _Event(msgspec.Struct, frozen=True):
    name: str
    cat: str = ""
    ts: int = 0
    dur: int = 0
    args: _Arguments = _Arguments()


def read_profile(content: bytes, *, keep: Sequence[bool]) -> list[RunTime]:
    """Read the file that `end_profiling` left.

    Args:
        content: The JSON.
        keep: For each run that was made, in order, whether it shall be given: warm-up runs are in the file too.

    Raises:
        ModelError: The file is of another format, or holds other runs than those that were made.
    """
    try:
        events = msgspec.json.decode(content, type=list[_Event])
    except msgspec.MsgspecError as error:
        raise ModelError(
            f"the profile that ONNX Runtime wrote cannot be read ({error}): its release is too new or too old"
        ) from error
    runs = sorted((event for event in events if event.name == "model_run"), key=lambda run: run.ts)
    if len(runs) != len(keep):
        raise ModelError(
            f"ONNX Runtime's profile holds {len(runs)} of the {len(keep)} runs that were made: choose fewer --runs"
        )
    nodes: list[list[NodeTime]] = [[] for _ in runs]
    starts = [run.ts for run in runs]
    for event in sorted(events, key=lambda event: event.ts):
        index = bisect_right(starts, event.ts) - 1
        if event.cat == "Node" and event.name.endswith(_SUFFIX) and index >= 0:
            nodes[index].append(_node(event))
    return [
        RunTime(run.ts, run.dur, tuple(its)) for run, its, wanted in zip(runs, nodes, keep, strict=True) if wanted
    ]


def _node(event: _Event) -> NodeTime:
    return NodeTime(
        name=event.name.removesuffix(_SUFFIX),
        op=event.args.op_name,
        provider=event.args.provider,
        start_us=event.ts,
        duration_us=event.dur,
        inputs=_tensors(event.args.input_type_shape),
        outputs=_tensors(event.args.output_type_shape),
    )


def _tensors(described: list[dict[str, tuple[int, ...]]]) -> tuple[Tensor, ...]:
    return tuple(Tensor(kind, shape) for each in described for kind, shape in each.items())
