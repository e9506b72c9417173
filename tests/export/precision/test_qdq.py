"""Where pairs stand in an int8 graph, and that what they stand around computes what it did."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from capsedge.export.collapse import deployable
from capsedge.export.onnx import to_onnx
from capsedge.export.precision.qdq import with_pairs
from capsedge.export.precision.quantize import METHODS, quantized
from capsedge.export.precision.rounding import rounded
from tests.export.exact import patchwork
from tests.export.graphs import SHAPE, graph_of, random_network
from tests.export.stems import stem_network

Images = NDArray[np.uint8]
Run = Callable[[onnx.ModelProto, Images], NDArray[np.float32]]


def int8_of(model: onnx.ModelProto) -> onnx.ModelProto:
    return quantized(model, patchwork(30, 28, 1, seed=0), lambda *_: (0.0, 0.0), METHODS[:1]).model


def nodes_of(model: onnx.ModelProto, op: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == op]


def readers(model: onnx.ModelProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if name in node.input]


def as_written(model: onnx.ModelProto, images: Images, *names: str) -> list[NDArray[Any]]:
    """Tensors of a graph in fp32 arithmetic, node by node: nothing is fused, so no int8 kernel is used."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    known = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(list(names), {"image": images})
    return found


@pytest.fixture(scope="module")
def residual() -> onnx.ModelProto:
    return graph_of(stem_network("residual"))


@pytest.fixture(scope="module")
def int8(residual: onnx.ModelProto) -> onnx.ModelProto:
    return int8_of(residual)


def test_each_of_two_layers_that_read_a_map_has_a_pair_with_the_same_codes(
    residual: onnx.ModelProto, int8: onnx.ModelProto, images: Images
) -> None:
    read_twice = [
        node.output[0] for node in nodes_of(residual, "Relu") if len(readers(residual, node.output[0])) == 2
    ]
    assert len(read_twice) == 2
    for name in read_twice:
        first, second = readers(int8, name)
        assert first.op_type == second.op_type == "QuantizeLinear"
        assert first.input == second.input
        assert first.attribute != second.attribute  # equal nodes are merged by ONNX Runtime
        one, other = as_written(int8, images, first.output[0], second.output[0])
        assert np.array_equal(one, other)
        assert one.max() > 100
        for node in (first, second):
            (back,) = readers(int8, node.output[0])
            assert (back.op_type, len(readers(int8, back.output[0]))) == ("DequantizeLinear", 1)


def test_a_sum_of_maps_reads_pairs_and_gives_one_and_the_sums_of_squash_do_not(int8: onnx.ModelProto) -> None:
    makers = {name: node for node in int8.graph.node for name in node.output}
    around = [
        {*(makers[name].op_type for name in node.input), *(each.op_type for each in readers(int8, node.output[0]))}
        for node in nodes_of(int8, "Add")
    ]
    assert around[:2] == [{"DequantizeLinear", "QuantizeLinear"}] * 2
    assert all("DequantizeLinear" not in each for each in around[2:])
    assert len(around) == 4


def test_leaky_relu_of_slope_0_is_relu(int8: onnx.ModelProto, images: Images) -> None:
    plain = onnx.ModelProto()
    plain.CopyFrom(int8)
    leaky = nodes_of(plain, "LeakyRelu")
    assert len(leaky) == 3  # and two whose result two layers read
    assert len(nodes_of(plain, "Relu")) == 2
    for node in leaky:
        node.op_type = "Relu"
        del node.attribute[:]
    for given, wanted in zip(
        as_written(int8, images, "lengths", "poses"), as_written(plain, images, "lengths", "poses"), strict=True
    ):
        assert np.array_equal(given, wanted)


def test_the_image_is_quantized_as_it_was_given_and_its_factor_is_in_the_scales(int8: onnx.ModelProto) -> None:
    assert not nodes_of(int8, "Mul")
    image = np.arange(784, dtype=np.int64).reshape(1, *SHAPE).astype(np.uint8)  # every brightness three times
    (conv,) = [node for node in nodes_of(int8, "Conv") if node.name == "node_conv2d"]
    (codes, read) = as_written(int8, image, f"{conv.input[0]}_QuantizeLinear_Output", conv.input[0])
    # The brightest pixel is 127, and a pixel p is p / 255 of it.
    wanted = np.rint(image.astype(np.float64).transpose(0, 3, 1, 2) * 127 / 255)
    assert np.array_equal(codes, wanted)
    np.testing.assert_allclose(read, wanted / 127, rtol=1e-6)


def test_an_image_that_is_standardized_keeps_its_factor() -> None:
    graph = int8_of(graph_of(random_network("l2", "data.standardize=true")))
    assert len(nodes_of(graph, "Mul")) == 1


def test_a_product_without_a_bias_gives_fp32_and_one_with_a_bias_codes() -> None:
    network = random_network("l2", "network.hidden=[[6, 4]]", "network.decoder=[8]")
    graph = int8_of(to_onnx(deployable(network, decoder=True), SHAPE))
    found = [
        (len(node.input), {each.op_type for each in readers(graph, node.output[0])})
        for node in nodes_of(graph, "Gemm")
    ]
    assert found == [(2, {"Reshape"})] * 2 + [(3, {"QuantizeLinear"})] * 2


@pytest.mark.parametrize("turned", [0, 1])
def test_a_scale_belongs_to_an_output_channel_wherever_the_weight_has_it(turned: int) -> None:
    weight = np.array([[1.0, -20.0, 0.0], [-0.25, 10.0, 0.0]], np.float32)  # two in, three out
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gemm", ["x", "w"], ["lengths"], transB=turned),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "product",
            [helper.make_tensor_value_info("image", onnx.TensorProto.UINT8, [1, 2])],
            [helper.make_tensor_value_info("lengths", onnx.TensorProto.FLOAT, [1, 3])],
            [numpy_helper.from_array(np.ascontiguousarray(weight.T) if turned else weight, "w")],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    black = np.zeros((1, 2), np.uint8)  # which leaves every weight its nearest code
    made = with_pairs(model, {"x": 255.0, "lengths": 1.0}, rounded(model, black, 64))
    constants = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    codes = constants["w_quantized"].T if turned else constants["w_quantized"]
    # 1 / 64, 20 / 64, and 1 where there is nothing to tell apart.
    np.testing.assert_allclose(constants["w_scale"], [1 / 64, 20 / 64, 1.0])
    assert codes.tolist() == [[64, -64, 0], [-16, 32, 0]]
    assert "w" not in constants
    (lengths,) = as_written(made, np.array([[255, 0]], np.uint8), "lengths")
    np.testing.assert_allclose(lengths, [[255.0, -20 * 255.0, 0.0]], rtol=1e-6)
