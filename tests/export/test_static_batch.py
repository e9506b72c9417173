"""Files with a fixed batch: every axis known, the same answers as the file with a free one, gated like any other."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto

from capsedge.contract import Precision
from capsedge.errors import ModelError
from capsedge.export import RunExport
from capsedge.export.onnx import with_batch
from capsedge.export.trial import lengths_of_all
from capsedge.runtime.batches import run_batches
from capsedge.runtime.open import open_session
from capsedge.runtime.verify import verify
from capsedge.training import Run
from tests.export.graphs import graph_of, random_network
from tests.export.typed_files import contract_in, verdict_in
from tests.in_process import Capsedge


@pytest.fixture(scope="module")
def exporter(exported_once: Run) -> RunExport:
    return RunExport(exported_once)


def shapes(model: ModelProto) -> dict[str, list[int | str]]:
    """The axes of every tensor that a node gives, as the file itself says them; 0 where one has neither."""
    graph = model.graph
    known = {value.name: value for value in (*graph.value_info, *graph.input, *graph.output)}
    return {
        name: [axis.dim_value or axis.dim_param for axis in known[name].type.tensor_type.shape.dim]
        for name in (*(each.name for each in graph.input), *(name for node in graph.node for name in node.output))
    }


@pytest.mark.parametrize("kind", ["l2", "dynamic", "kl", "em"])
def test_every_shape_in_the_file_is_a_number(kind: str) -> None:
    model = with_batch(graph_of(random_network(kind)), 3)
    found = shapes(model)

    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    assert found["image"] == [3, 28, 28, 1]
    assert found["lengths"] == [3, 10]
    assert all(isinstance(axis, int) and axis > 0 for axes in found.values() for axis in axes)


def test_the_graph_with_a_free_batch_is_left_as_it_was() -> None:
    graph = graph_of(random_network())
    before = graph.SerializeToString(deterministic=True)
    with_batch(graph, 3)
    assert graph.SerializeToString(deterministic=True) == before
    assert shapes(graph)["image"][0] == "batch"


@pytest.mark.parametrize(("precision", "batch"), [("fp32", 1), ("fp16", 3), ("int8", 1), ("bf16", 3)])
def test_a_file_of_each_precision_passes_the_gate(
    precision: Precision, batch: int, exporter: RunExport, tmp_path: Path
) -> None:
    made = exporter.export(precision, tmp_path / "model.onnx", static_batch=batch)

    assert verdict_in(made.contract).status == ("not executed here" if precision == "bf16" else "accepted")
    assert (made.contract.batch, made.contract.precision) == (batch, precision)
    kept = contract_in(made.path)
    assert kept == made.contract
    onnx.checker.check_model(onnx.load(made.path), full_check=True)


def test_its_answers_are_those_of_the_file_with_a_free_batch(exported: Run) -> None:
    made = RunExport(exported).export("fp32", static_batch=3)
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 1), np.uint8)
    with open_session(made.path) as fixed, open_session(exported.path / "model.onnx") as free:
        assert (fixed.batch_limits, free.batch_limits) == ((3, 3), None)
        expected = free.run(images).lengths
        np.testing.assert_allclose(run_batches(fixed, images).lengths, expected, atol=1e-6)
        np.testing.assert_allclose(lengths_of_all(fixed, images), expected, atol=1e-6)
        assert verify(fixed).ok
        with pytest.raises(ModelError, match="expected a batch of 3, got 7"):
            fixed.run(images)


def test_the_command_writes_both_files_of_each_precision(exported: Run, capsedge: Capsedge) -> None:
    result = capsedge("export", str(exported.path), "--precision", "fp32,int8", "--static-batch", "4", "--json")

    assert result.returncode == 0, result.stderr
    made = json.loads(result.stdout)["exported"]
    names = ["model.onnx", "model.batch4.onnx", "model.int8.onnx", "model.batch4.int8.onnx"]
    assert [Path(each["model"]).name for each in made] == names
    assert [each["contract"]["batch"] for each in made] == [None, 4, None, 4]
    rows = [line.split()[:2] for line in result.stderr.splitlines() if line.startswith((" fp32 ", " int8 "))]
    assert [precision for precision, _ in rows] == ["fp32", "fp32", "int8", "int8"]
    assert [second for _, second in rows if second == "x4"] == ["x4", "x4"]
    (following,) = [line for line in result.stderr.splitlines() if line.startswith("next: ")]
    assert ".batch4" not in following
    shown = capsedge("inspect", str(exported.path / "model.batch4.int8.onnx")).stdout
    assert "image, uint8 [4, 28, 28, 1]" in shown


def test_a_given_name_gets_the_batch_too(exported: Run, tmp_path: Path, capsedge: Capsedge) -> None:
    result = capsedge("export", str(exported.path), "-o", str(tmp_path / "a b.onnx"), "--static-batch", "2")

    assert result.returncode == 0, result.stderr
    assert sorted(each.name for each in tmp_path.glob("*.onnx")) == ["a b.batch2.onnx", "a b.onnx"]


@pytest.mark.parametrize("batch", ["0", "65537"])
def test_a_batch_that_cannot_be_is_one_line(batch: str, exported: Run, capsedge: Capsedge) -> None:
    result = capsedge("export", str(exported.path), "--static-batch", batch)

    assert result.returncode == 2
    assert "--static-batch" in result.stderr
    assert len(result.stderr.splitlines()) == 1
