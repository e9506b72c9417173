"""What a graph computes in, and what that costs, against sums by hand and against what the graph truly holds."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from capsedge.contract import Precision
from capsedge.export.layers import layers_of
from capsedge.export.precision import METHODS, TypedGraphs
from tests.export.graphs import graph_of_kind


def test_flops_and_parameters_of_table_one_in_small(graph: onnx.ModelProto) -> None:
    """8 filters of 9x9 on 28x28 give 20x20; 2 types of 4 give 8 channels of 6x6; 72 capsules of 4 make 10 of 4."""
    first, primary, classes = layers_of(graph)
    assert (first.name, first.op) == ("capsules.stem.conv.weight", "Conv")
    assert (first.flops, first.parameters) == (2 * 20 * 20 * 8 * 81, 8 * 81)
    assert (primary.flops, primary.parameters) == (2 * 6 * 6 * 8 * 8 * 81, 8 * 8 * 81)
    assert (classes.name, classes.op) == ("capsules.weight", "Gemm")
    assert (classes.flops, classes.parameters) == (2 * 72 * 4 * 10 * 4, 72 * 4 * 10 * 4)


def test_dynamic_routing_is_counted_with_its_products_of_two_activations() -> None:
    layers = layers_of(graph_of_kind("dynamic"))
    weighted = [layer for layer in layers if layer.name == "capsules.network.routing.weight"]
    assert [layer.flops for layer in weighted] == [2 * 72 * 4 * 40] * 2  # the uniform sum, and the votes
    agreements_and_sums = [layer for layer in layers if not layer.parameters]
    assert [layer.flops for layer in agreements_and_sums] == [2 * 72 * 40] * 4


def test_em_routing_is_counted_too() -> None:
    assert {layer.type for layer in layers_of(graph_of_kind("em"))} == {"fp32"}


@pytest.mark.parametrize(
    ("precision", "types"),
    [
        ("fp32", ("fp32", "fp32")),
        ("fp16", ("fp16", "fp16")),
        ("bf16", ("bf16", "bf16")),
        ("int8", ("int8", "fp32")),
        ("int8+fp16", ("int8", "fp16")),
        ("fp8", ("fp8", "fp32")),
    ],
)
def test_types_are_read_from_the_graph(
    precision: Precision,
    types: tuple[str, str],
    graph: onnx.ModelProto,
    images: NDArray[np.uint8],
) -> None:
    typed = TypedGraphs(graph, lambda: images, lambda *_: (0.0, 0.0), METHODS[:1]).make(precision)
    layers = layers_of(typed.model)
    assert {(layer.type, layer.output) for layer in layers} == {types}
    assert [layer.flops for layer in layers] == [layer.flops for layer in layers_of(graph)]


def product(*, quantize_input: bool, transpose: bool) -> onnx.ModelProto:
    """x times an int8 weight, which is dequantized and may be transposed."""
    codes = np.arange(6, dtype=np.int8).reshape(3, 2)
    constants = [
        numpy_helper.from_array(codes, "w"),
        numpy_helper.from_array(np.array(0.5, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
    ]
    nodes = [helper.make_node("DequantizeLinear", ["w", "s", "z"], ["w_full"])]
    weight, given = "w_full", "x"
    if transpose:
        nodes.append(helper.make_node("Transpose", ["w_full"], ["w_turned"]))
        weight = "w_turned"
    if quantize_input:
        nodes.append(helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]))
        nodes.append(helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]))
        given = "d"
    nodes.append(helper.make_node("MatMul", [given, weight], ["y"], name="product"))
    wide = 2 if transpose else 3
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", wide])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 5 - wide])
    return helper.make_model(
        helper.make_graph(nodes, "g", [x], [y], constants), opset_imports=[helper.make_opsetid("", 20)]
    )


def test_a_transposed_operand_is_counted_by_its_inputs() -> None:
    """x' times a weight of [3, 2], for one image: 2 results of 3 products each."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["x_transposed"]),
        helper.make_node("Gemm", ["x_transposed", "w"], ["y"], transA=1),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    weight = numpy_helper.from_array(np.ones((3, 2), np.float32), "w")
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    (layer,) = layers_of(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]))
    assert layer.flops == 2 * 2 * 3


@pytest.mark.parametrize("transpose", [False, True])
def test_a_product_is_int8_only_where_both_its_operands_are(transpose: bool) -> None:
    (whole,) = layers_of(product(quantize_input=True, transpose=transpose))
    (half,) = layers_of(product(quantize_input=False, transpose=transpose))
    assert (whole.name, whole.type, whole.flops, whole.parameters) == ("w", "int8", 12, 6)
    assert half.type == "fp32"
