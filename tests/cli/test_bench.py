"""`capsedge bench` as a person runs it."""

import json
from pathlib import Path

from tests.cli.conftest import Edge


def test_models_are_timed_side_by_side(edge: Edge, models: Path) -> None:
    done = edge("bench", "fashion-mnist", models / "foreign.onnx", "--runs", "64")

    assert done.returncode == 0
    header, first, second = [line for line in done.stdout.splitlines() if line.strip(" ─")]
    assert header.split()[:3] == ["model", "p50", "ms"]
    assert first.split()[:3] == ["fashion-mnist", "(built", "in)"]
    assert second.split()[0] == str(models / "foreign.onnx")
    assert "on CPU, batch 1, 64 runs of each in 8 rounds" in done.stderr
    assert "note: p99 needs 662 runs; 64 were made (see --runs)" in done.stderr
    assert {"torch", "onnx", "PIL"}.isdisjoint(done.args)


def test_without_a_model_the_built_in_one_is_timed(edge: Edge) -> None:
    done = edge("bench", "--seconds", "0.05", "--batch", "4", "--threads", "1", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (0, "")
    assert (report["batch"], report["threads"]) == (4, 1)
    assert [model["model"] for model in report["models"]] == ["fashion-mnist (built in)"]
    assert report["models"][0]["samples_ms"] is None
    assert report["machine"]["cpu"]


def test_every_run_is_kept_on_demand(edge: Edge, models: Path) -> None:
    done = edge("bench", models / "good.onnx", "--runs", "10", "--samples", "--json")

    (model,) = json.loads(done.stdout)["models"]
    assert len(model["samples_ms"]) == model["runs"] == 10
    assert model["p50_ms"] is None


def test_a_model_that_does_not_take_the_batch_is_one_line(edge: Edge, models: Path) -> None:
    done = edge("bench", models / "batch-of-2.onnx")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"capsedge: '{models / 'batch-of-2.onnx'}' takes batches of 2, 1 was given: choose --batch 2"
    )


def test_a_missing_model_is_wrong_use(edge: Edge) -> None:
    done = edge("bench", "gone.onnx")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "capsedge: there is no file and no built-in model 'gone.onnx'; there are: fashion-mnist"
