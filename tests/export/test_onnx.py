"""The exported graph: what it holds, what it must not hold, and that it is the same every time."""

from pathlib import Path

import numpy as np
import onnx
import onnx.reference
import pytest
import torch

from capsedge.contract import contract_of
from capsedge.data import load_dataset
from capsedge.export import export_run
from capsedge.export.onnx import output_shapes
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.training import Run
from tests.export.typed_files import verdict_in


def model_of(run: Run) -> onnx.ModelProto:
    return onnx.load_model(str(run.path / "model.onnx"))


def test_nothing_is_computed_that_could_be_left_out(exported: Run) -> None:
    """A node takes about a microsecond, and a network for the edge has fifty."""
    assert [node.op_type for node in model_of(exported).graph.node] == [
        *("Cast", "Transpose", "Mul"),  # the factor after the axes are in order (docs/precision.md)
        *("Conv", "Relu", "Conv", "Transpose", "Reshape"),
        *("ReduceL2", "Reciprocal", "Add", "Div"),
        *("Reshape", "Gemm", "Reshape"),
        *("ReduceL2", "Reciprocal", "Add", "Div", "ReduceL2"),
    ]


def test_input_is_raw_images_with_a_named_batch_axis(exported: Run) -> None:
    graph = model_of(exported).graph
    (image,) = graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_param or d.dim_value for d in image.type.tensor_type.shape.dim] == ["batch", 28, 28, 1]
    shapes = {o.name: [d.dim_param or d.dim_value for d in o.type.tensor_type.shape.dim] for o in graph.output}
    assert shapes == {"lengths": ["batch", 10], "poses": ["batch", 10, 4]}
    assert output_shapes(model_of(exported)) == {"lengths": (10,), "poses": (10, 4)}


def test_an_independent_evaluator_gives_the_networks_lengths(exported: Run) -> None:
    images = load_dataset("fashion-mnist-subset").test.images[:4]
    outputs = onnx.reference.ReferenceEvaluator(model_of(exported)).run(None, {"image": images})
    lengths, poses = (np.asarray(output) for output in outputs)
    network = exported.load_best()
    with torch.no_grad():
        expected = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    np.testing.assert_allclose(lengths, expected.lengths.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(poses, axis=2), lengths, atol=1e-6)


def test_no_trace_of_this_machine_is_left(exported: Run) -> None:
    content = (exported.path / "model.onnx").read_bytes()
    for trace in (str(Path.cwd()), str(Path.home()), ".py", "site-packages", "torch.export", str(exported.path)):
        assert trace.encode() not in content, trace
    model = model_of(exported)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.usefixtures("traced_anew")
def test_the_same_run_gives_the_same_bytes(exported: Run) -> None:
    before = (exported.path / "model.onnx").read_bytes()
    export_run(exported)
    assert (exported.path / "model.onnx").read_bytes() == before


def test_the_contract_tells_classes_scores_verdict_and_types(exported: Run) -> None:
    path = exported.path / "model.onnx"
    file = read_onnx_file(path)
    contract = contract_of(file, source=str(path))
    assert contract is not None
    assert contract.classes[9] == "ankle-boot"
    assert contract.collapsed
    assert verdict_in(contract).status == "accepted"
    assert [(score.stage, score.split) for score in contract.scores] == [
        ("trained", "validation"), ("trained", "test"), ("fp32", "validation"), ("fp32", "test"),
    ]  # fmt: skip
    assert contract.precision == "fp32"
    assert len(contract.layers) == 3
    assert contract.graph_sha256 == file.graph_sha256
    assert contract.weights_sha256 == file.weights_sha256
    assert sorted(contract.golden.labels) == sorted([*range(10), *range(10)])


def test_dynamic_routing_exports_unrolled(dynamic: Run) -> None:
    exported = export_run(dynamic)
    assert not exported.contract.collapsed
    operators = [node.op_type for node in onnx.load_model(str(exported.path)).graph.node]
    assert operators.count("Softmax") == 2  # three iterations, the first of which is uniform
