"""`capsedge verify` as a person runs it."""

import json
from pathlib import Path

import onnxruntime
import pytest

from capsedge.runtime.ort import placement
from tests.cli.conftest import Edge, one_line
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)


def test_a_whole_model_is_accepted_in_one_line(edge: Edge) -> None:
    done = edge("verify")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fashion-mnist (built in) on CPUExecutionProvider: 5 golden images give the")
    assert done.stdout.count("\n") == 1
    assert {"torch", "onnx", "PIL"}.isdisjoint(done.args)


def test_json_carries_the_whole_record(edge: Edge, models: Path) -> None:
    done = edge("verify", models / "altered-weight.onnx", "--json")

    record = json.loads(done.stdout)
    assert record["file"] == str(models / "altered-weight.onnx")
    assert done.returncode == 1
    assert record["altered_weights"] == ["classes.weight"]
    assert record["problems"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        (
            "altered-weight.onnx",
            "' on CPUExecutionProvider does not keep its contract: its weights classes.weight were alt",
        ),
        (
            "altered-graph.onnx",
            "' on CPUExecutionProvider does not keep its contract: its graph was altered, its weights w",
        ),
        ("truncated.onnx", "' is not a whole ONNX file (it ends"),
        ("text.onnx", "' is not a whole ONNX file"),
        ("foreign.onnx", "' carries no capsedge contract"),
        ("newer.onnx", "' has a contract of schema 99, this capsedge reads 3: upgrade capsedge"),
    ],
)
def test_a_model_that_is_not_as_exported_fails_in_one_line(
    capsedge: Capsedge, models: Path, file: str, line: str
) -> None:
    done = capsedge("verify", str(models / file))

    assert done.stdout == ""
    assert one_line(done, 1).startswith(f"capsedge: '{models / file}{line}")


@pytest.mark.skipif(
    "AzureExecutionProvider" not in onnxruntime.get_available_providers(), reason="this wheel has no second provider"
)
def test_what_the_provider_cannot_run_is_an_error_or_named(
    capsedge: Capsedge, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Azure provider, which starts and runs no node, stands for a GPU."""
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")
    refused = capsedge("verify", str(good), "--provider", "cuda")
    allowed = capsedge("verify", str(good), "--provider", "cuda", "--allow-fallback", "--json")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert " nodes of '" in refused.stderr
    assert "would run on the CPU" in refused.stderr
    assert "--allow-fallback" in refused.stderr
    assert allowed.returncode == 0
    if not hasattr(onnxruntime.InferenceSession, "get_provider_graph_assignment_info"):
        assert "does not tell which nodes run there" in json.loads(allowed.stdout)["provider"]
        return
    assert json.loads(allowed.stdout)["provider"] == "CPUExecutionProvider"
    assert "on the CPU, because 'cuda' does not support them: Add, Cast, Conv, " in allowed.stderr
