"""ONNX Runtime's profile, in a real file and in made-up ones."""

import json
from typing import Any

import pytest

from capsedge.errors import ModelError
from capsedge.runtime.profile.graph import Tensor
from capsedge.runtime.profile.ort_events import read_profile
from tests.runtime.capsule_model import graph
from tests.runtime.profile.recorded import profiled


def event(name: str, ts: int, dur: int, cat: str = "Node", **args: Any) -> dict[str, Any]:
    return {"name": name, "ts": ts, "dur": dur, "cat": cat, "ph": "X", "pid": 1, "tid": 1, "args": args}


def test_the_runs_of_a_real_profile_hold_their_nodes() -> None:
    runs = read_profile(profiled(graph(), [1, 2, 3]), keep=[True, False, True])

    assert len(runs) == 2
    for run, batch in zip(runs, (1, 3), strict=True):
        assert run.nodes[0].op == "Cast"
        assert run.nodes[0].inputs == (Tensor("uint8", (batch, 28, 28, 1)),)
        assert run.nodes[0].outputs == (Tensor("float", (batch, 28, 28, 1)),)
        assert {node.provider for node in run.nodes} == {"CPUExecutionProvider"}
        assert sum(node.duration_us for node in run.nodes) <= run.duration_us
        assert run.start_us <= run.nodes[0].start_us
        assert run.nodes[-1].start_us <= run.start_us + run.duration_us
    assert [node.op for node in runs[0].nodes] == [node.op for node in runs[1].nodes]
    assert [node.op for node in runs[0].nodes].count("Gemm") == 1


def test_warm_up_runs_and_what_is_no_node_are_left_out() -> None:
    content = json.dumps([
        event("session_initialization", 0, 5, "Session"),
        event("model_run", 10, 10, "Session"),
        event("a_kernel_time", 12, 3, op_name="Add", provider="CPU"),
        event("model_run", 30, 10, "Session"),  # the profiler writes a run after its nodes, whatever the order here
        event("b_kernel_time", 37, 2, op_name="Mul", provider="CPU"),
        event("a_kernel_time", 31, 4, op_name="Add", provider="CPU"),
        event("a_fence_before", 30, 1, op_name="Add"),
    ]).encode()  # fmt: skip

    (run,) = read_profile(content, keep=[False, True])

    assert [(node.name, node.op, node.duration_us) for node in run.nodes] == [("a", "Add", 4), ("b", "Mul", 2)]


def test_a_profile_that_was_cut_short_is_no_profile() -> None:
    content = json.dumps([event("model_run", 10, 10, "Session")]).encode()
    with pytest.raises(ModelError, match="holds 1 of the 2 runs that were made: choose fewer --runs"):
        read_profile(content, keep=[True, True])


def test_a_file_that_is_no_profile_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"cannot be read .* its release is too new or too old"):
        read_profile(b'{"traceEvents": []}', keep=[])
