"""fp16 and bf16 graphs, judged by arithmetic that truly has those types: onnx's reference implementation."""

import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from capsedge.errors import ModelError
from capsedge.export.graph import types_of
from capsedge.export.layers import LAYER_OPS, layers_of
from capsedge.export.precision.half import HalfType, in_half
from tests.export.graphs import graph_of, graph_of_kind, random_network

Images = NDArray[np.uint8]
Run = Callable[[onnx.ModelProto, Images], NDArray[np.float32]]
HALF_OF: dict[str, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}


def by_the_book(model: onnx.ModelProto, images: Images) -> NDArray[np.float32]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy tells of overflows, which are what is looked for
        (lengths,) = ReferenceEvaluator(model).run(["lengths"], {"image": images})
    return np.asarray(lengths)


@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_products_are_in_half_and_squash_norms_and_outputs_in_fp32(half: HalfType, graph: onnx.ModelProto) -> None:
    model = in_half(graph, half)
    types = types_of(model)
    kinds: dict[str, set[int]] = {}
    for node in model.graph.node:
        kinds.setdefault(node.op_type, set()).update(types[name] for name in node.output)
    for op in (*LAYER_OPS, "Relu"):
        assert kinds.get(op, {HALF_OF[half]}) == {HALF_OF[half]}
    for op in ("ReduceL2", "Reciprocal", "Add", "Div", "Mul"):
        assert kinds[op] == {TensorProto.FLOAT}
    assert {output.type.tensor_type.elem_type for output in model.graph.output} == {TensorProto.FLOAT}
    assert [output.name for output in model.graph.output] == ["lengths", "poses"]
    assert {(layer.type, layer.output) for layer in layers_of(model)} == {(half, half)}
    assert len(model.SerializeToString()) < 0.6 * len(graph.SerializeToString())


@pytest.mark.parametrize("kind", ["l2", "dynamic", "kl", "em"])
@pytest.mark.parametrize("half", ["fp16", "bf16"])
def test_every_kind_of_routing_is_close_to_itself_in_fp32(
    half: HalfType, kind: str, images: Images, run: Run
) -> None:
    full = graph_of_kind(kind)
    largest = np.abs(by_the_book(in_half(full, half), images[2:4]) - run(full, images[2:4])).max()
    assert 0 < largest < {"fp16": 0.01, "bf16": 0.06}[half]  # 0 would mean that nothing was rounded


def loud(graph: onnx.ModelProto, factor: float) -> onnx.ModelProto:
    """The graph with large primary capsules, made by the weights and biases of their convolution."""
    model = onnx.ModelProto()
    model.CopyFrom(graph)
    for constant in model.graph.initializer:
        if "primary" in constant.name:
            values = numpy_helper.to_array(constant) * np.float32(factor)
            constant.CopyFrom(numpy_helper.from_array(values, constant.name))
    return model


def test_large_activations_survive_in_fp16_where_their_squares_do_not(
    graph: onnx.ModelProto, images: Images, run: Run
) -> None:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    full = loud(graph, 4000.0)
    wanted = run(full, images[:6])
    ours = by_the_book(in_half(full, "fp16"), images[:6])
    np.testing.assert_allclose(ours, wanted, atol=0.01)
    everything = by_the_book(convert_float_to_float16(full, keep_io_types=False), images[:6])
    assert wanted.max(1).min() > 0.05
    assert not everything.any()  # every norm is infinite there


def test_a_weight_that_fp16_cannot_hold_is_refused_by_name_and_bf16_takes_it(graph: onnx.ModelProto) -> None:
    full = loud(graph, 1e6)
    with pytest.raises(
        ModelError, match=r"'capsules\.primary\.(weight|bias)' holds .*, which fp16 cannot hold: use bf16"
    ):
        in_half(full, "fp16")
    assert layers_of(in_half(full, "bf16"))[1].type == "bf16"


def test_the_graph_that_was_given_is_left_alone(graph: onnx.ModelProto) -> None:
    before = graph.SerializeToString(deterministic=True)
    in_half(graph, "fp16")
    in_half(graph, "bf16")
    assert graph.SerializeToString(deterministic=True) == before


def test_a_constant_that_both_types_need_is_there_in_both() -> None:
    network = random_network()
    graph = graph_of(network)
    shared = numpy_helper.from_array(np.array([0.1], np.float32), "shared")
    graph.graph.initializer.append(shared)
    for op, count in (("Relu", 0), ("Div", 0)):  # one product in half, one in fp32
        index, node = [(i, node) for i, node in enumerate(graph.graph.node) if node.op_type == op][count]
        name = node.output[0]
        for each in graph.graph.node:
            each.input[:] = [f"{name}_times" if wanted == name else wanted for wanted in each.input]
        kind = "Conv" if op == "Relu" else "Mul"
        kernel = "kernel" if kind == "Conv" else "shared"
        graph.graph.node.insert(index + 1, onnx.helper.make_node(kind, [name, kernel], [f"{name}_times"], name=op))
    filters = next(iter(graph.graph.initializer)).dims[0]
    eye = np.eye(filters, dtype=np.float32).reshape(filters, filters, 1, 1)
    graph.graph.initializer.append(numpy_helper.from_array(eye, "kernel"))
    gemm = next(node for node in graph.graph.node if node.op_type == "Gemm")
    gemm.input.append("shared")  # as its bias, which is broadcast
    half = in_half(graph, "fp16")
    kinds = {constant.name: constant.data_type for constant in half.graph.initializer}
    assert kinds["shared"] == TensorProto.FLOAT
    assert kinds["shared_fp16"] == TensorProto.FLOAT16
