"""ONNX Runtime's profile, in a real file and in made-up ones."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from capsedge.errors import ModelError
from capsedge.measure.profile.ort_events import read_profile
from capsedge.onnx_lite.tensor import Tensor
from tests.measure.profile.recorded import loop, profiled
from tests.runtime.capsule_model import graph


def written(folder: Path, *events: dict[str, Any]) -> Path:
    """A file such as ONNX Runtime writes: an event on each line."""
    (folder / "profile.json").write_text("[\n" + ",\n".join(map(json.dumps, events)) + "\n]\n")
    return folder / "profile.json"


def event(name: str, ts: int, dur: int, cat: str = "Node", **args: Any) -> dict[str, Any]:
    return {"name": name, "ts": ts, "dur": dur, "cat": cat, "ph": "X", "pid": 1, "tid": 1, "args": args}


def test_the_runs_of_a_real_profile_hold_their_nodes(tmp_path: Path) -> None:
    feeds = [{"image": np.zeros((batch, 28, 28, 1), np.uint8)} for batch in (1, 2, 3)]
    runs = read_profile(profiled(graph(), feeds, tmp_path), keep=[True, False, True])

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


def test_warm_up_runs_and_what_is_no_node_are_left_out(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        event("session_initialization", 0, 5, "Session"),
        event("model_run", 10, 10, "Session"),
        event("a_kernel_time", 12, 3, op_name="Add", provider="CPU"),
        event("model_run", 30, 10, "Session"),  # the profiler writes a run after its nodes, whatever the order here
        event("b_kernel_time", 37, 2, op_name="Mul", provider="CPU"),
        event("a_kernel_time", 31, 4, op_name="Add", provider="CPU"),
        event("a_fence_before", 30, 1, op_name="Add"),
    )

    (run,) = read_profile(file, keep=[False, True])

    assert [(node.name, node.op, node.duration_us) for node in run.nodes] == [("a", "Add", 4), ("b", "Mul", 2)]


def test_the_nodes_of_a_real_loop_are_those_within_it(tmp_path: Path) -> None:
    feeds = [{"x": np.ones((2, 4), np.float32)}] * 2
    for run in read_profile(profiled(loop(3), feeds, tmp_path), keep=[True, True]):
        assert [node.op for node in run.nodes] == ["Loop", "Neg"]
        assert sorted(node.op for node in run.nodes[0].inner) == ["Identity"] * 3 + ["Relu"] * 3
        assert run.nodes[1].inner == ()


def test_what_starts_before_another_node_ends_is_within_it(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        event("model_run", 10, 40, "Session"),
        event("before_kernel_time", 12, 0, op_name="Add"),
        event("deep_kernel_time", 12, 5, op_name="Add"),
        event("if_kernel_time", 12, 6, op_name="If"),  # a node is written when it ends
        event("last_kernel_time", 20, 1, op_name="Add"),
        event("loop_kernel_time", 12, 9, op_name="Loop"),
        event("behind_kernel_time", 21, 0, op_name="Add"),
        event("end_kernel_time", 21, 3, op_name="Add"),
    )

    (run,) = read_profile(file, keep=[True])

    assert [node.name for node in run.nodes] == ["before", "loop", "behind", "end"]
    assert [[inner.name for inner in node.inner] for node in run.nodes] == [[], ["if", "deep", "last"], [], []]


def test_a_profile_that_was_cut_short_is_no_profile(tmp_path: Path) -> None:
    file = written(tmp_path, event("model_run", 10, 10, "Session"))
    with pytest.raises(ModelError, match="holds 1 of the 2 iterations that ran: use fewer --iterations"):
        read_profile(file, keep=[True, True])


def test_a_file_that_is_no_profile_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text('{"traceEvents": [{"name": "model_run"}]}')
    with pytest.raises(ModelError, match=r"cannot be read .* its release is too new or too old"):
        read_profile(tmp_path / "profile.json", keep=[True])


def test_what_is_the_same_in_every_run_is_kept_once(tmp_path: Path) -> None:
    feeds = [{"image": np.zeros((1, 28, 28, 1), np.uint8)}] * 2
    first, second = read_profile(profiled(graph(), feeds, tmp_path), keep=[True, True])

    for one, other in zip(first.nodes, second.nodes, strict=True):
        assert one.name is other.name
        assert one.inputs is other.inputs
        assert one.outputs is other.outputs
