"""`capsedge verify` as a person runs it."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Edge


def test_a_whole_model_is_accepted_in_one_line(edge: Edge) -> None:
    done = edge("verify")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fashion-mnist (built in) on CPUExecutionProvider: 5 golden images give the")
    assert done.stdout.count("\n") == 1
    assert {"torch", "onnx", "PIL"}.isdisjoint(done.args)


def test_json_carries_the_whole_record(edge: Edge, models: Path) -> None:
    done = edge("verify", models / "altered-weight.onnx", "--json")

    record = json.loads(done.stdout)
    assert done.returncode == 1
    assert record["altered_weights"] == ["classes.weight"]
    assert record["problems"]


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("altered-weight.onnx", "' on CPUExecutionProvider breaks its contract: its weights classes.weight were alt"),
        ("altered-graph.onnx", "' on CPUExecutionProvider breaks its contract: its graph was altered, its weights w"),
        ("truncated.onnx", "' is not a whole ONNX file (it ends"),
        ("text.onnx", "' is not a whole ONNX file"),
        ("foreign.onnx", "' carries no capsedge contract"),
        ("newer.onnx", "' has a contract of schema 99, this capsedge reads 2: upgrade capsedge"),
    ],
)
def test_a_model_that_is_not_as_exported_fails_in_one_line(edge: Edge, models: Path, file: str, line: str) -> None:
    done = edge("verify", models / file)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"capsedge: '{models / file}{line}")
    assert "\n" not in done.stderr
