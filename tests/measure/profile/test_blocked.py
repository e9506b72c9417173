"""Padding of channels is no work: convolutions of odd widths, against counts by hand."""

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capsedge.measure.profile.blocked import unpadded
from capsedge.onnx_lite.graph import Graph, Node
from capsedge.onnx_lite.tensor import Tensor
from tests.measure.profile.recorded import layers_of_feeds

SIDE = 12


def model(nodes: list[onnx.NodeProto], weights: dict[str, tuple[int, ...]], channels: int) -> onnx.ModelProto:
    """A network on images [batch, channels, 12, 12], whose result is that of the last node."""
    value = helper.make_tensor_value_info
    drawn = np.random.default_rng(0)
    initializers = [
        numpy_helper.from_array(drawn.random(shape, dtype=np.float32), name) for name, shape in weights.items()
    ]
    ends = (
        [value("image", TensorProto.FLOAT, ("n", channels, SIDE, SIDE))],
        [value(nodes[-1].output[0], TensorProto.FLOAT, None)],
    )
    graph = helper.make_graph(nodes, "convolutions", *ends, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def costs(made: onnx.ModelProto, batch: int, channels: int, op: str = "Conv") -> list[tuple[int, int, int]]:
    """Operations, bytes of weights and bytes of activations of the layers of one kind."""
    feeds: dict[str, Any] = {"image": np.ones((batch, channels, SIDE, SIDE), np.float32)}
    found = [layer for layer in layers_of_feeds(made, feeds) if layer.op == op]
    return [(layer.flops or 0, layer.weight_bytes or 0, layer.activation_bytes or 0) for layer in found]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels", [(1, 20, 36, 10), (20, 20, 20, 20), (3, 32, 16)])
def test_padded_channels_cost_nothing(channels: tuple[int, ...], batch: int) -> None:
    nodes, wanted = [], []
    weights: dict[str, tuple[int, ...]] = {}
    last, side = "image", SIDE
    for place, (taken, given) in enumerate(pairwise(channels)):
        weights |= {f"w{place}": (given, taken, 3, 3), f"b{place}": (given,)}
        nodes.append(helper.make_node("Conv", [last, f"w{place}", f"b{place}"], [f"c{place}"]))
        nodes.append(helper.make_node("Relu", [f"c{place}"], [f"r{place}"]))
        before, last, side = taken * side**2, f"r{place}", side - 2
        products = given * side**2 * taken * 9
        numbers = batch * (before + given * side**2)
        wanted.append((2 * batch * products, 4 * given * (taken * 9 + 1), 4 * numbers))

    assert costs(model(nodes, weights, channels[0]), batch, channels[0]) == wanted


def test_a_sum_and_a_pooling_between_convolutions_have_no_more_channels_than_they_show() -> None:
    node = helper.make_node
    nodes = [
        node("Conv", ["image", "w0"], ["c0"], pads=[1, 1, 1, 1]),
        node("Sigmoid", ["c0"], ["s0"]),
        node("MaxPool", ["s0"], ["p0"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p0", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        node("Add", ["c1", "p0"], ["a1"]),
        node("Conv", ["a1", "w2"], ["c2"]),
    ]
    made = model(nodes, {"w0": (20, 20, 3, 3), "w1": (20, 20, 3, 3), "w2": (5, 20, 1, 1)}, 20)

    assert [flops for flops, _, _ in costs(made, 1, 20)] == [2 * 20 * 144 * 180, 2 * 20 * 36 * 180, 2 * 5 * 36 * 20]
    assert [activations for _, _, activations in costs(made, 1, 20, "MaxPool")] == [4 * 20 * (144 + 36)]


def blocked(op: str, name: str, inputs: tuple[str, ...], output: str, **integers: int) -> Node:
    return Node(op, name, "com.microsoft.nchwc", inputs, (output,), integers)


def test_blocks_are_undone_also_where_this_processor_has_none() -> None:
    """A convolution of 20 channels, then one of 10, as ONNX Runtime wrote them on a processor with blocks of 16."""
    ran = Graph(
        (
            blocked("ReorderInput", "ReorderInput", ("image",), "t0", channels_last=1),
            blocked("Conv", "r0_nchwc", ("t0", "reorder0", "bias0"), "t1"),
            Node("Sigmoid", "sigmoid", "", ("t1",), ("t2",)),
            blocked("Conv", "r1_nchwc", ("t2", "reorder1"), "t3"),
            blocked("ReorderOutput", "ReorderOutput", ("t3",), "r1", channels=10),
        ),
        weights={},
        inputs=("image",),
        outputs=("r1",),
    )
    written = Graph(
        (
            Node("Transpose", "", "", ("image",), ("nchw",)),
            Node("DequantizeLinear", "", "", ("codes", "scale"), ("w0",)),
            Node("Conv", "", "", ("nchw", "w0", "b0"), ("c0",)),
            Node("Relu", "", "", ("c0",), ("r0",)),
            Node("Conv", "", "", ("r0", "w1"), ("r1",)),
        ),
        weights={"codes": Tensor("int8", (20, 20, 3, 3)), "b0": Tensor("float", (20,))}
        | {"w1": Tensor("float", (10, 20, 3, 3)), "scale": Tensor("float", ())},
        inputs=("image",),
        outputs=("r1",),
    )
    tensors = {
        "image": Tensor("float", (1, 9, 9, 20)),
        "t0": Tensor("float", (1, 32, 9, 9)),
        "reorder0": Tensor("float", (32, 32, 3, 3)),
        "bias0": Tensor("float", (32,)),
        "t1": Tensor("float", (1, 32, 7, 7)),
        "t2": Tensor("float", (1, 32, 7, 7)),
        "reorder1": Tensor("float", (16, 32, 3, 3)),
        "t3": Tensor("float", (1, 16, 5, 5)),
        "r1": Tensor("float", (1, 10, 5, 5)),
    }

    assert {name: tensor.shape for name, tensor in unpadded(tensors, ran, written).items()} == {
        "image": (1, 9, 9, 20),
        "t0": (1, 20, 9, 9),
        "reorder0": (20, 20, 3, 3),
        "bias0": (20,),
        "t1": (1, 20, 7, 7),
        "t2": (1, 20, 7, 7),
        "reorder1": (10, 20, 3, 3),
        "t3": (1, 10, 5, 5),
        "r1": (1, 10, 5, 5),
    }
    # Without the file's word only the reordering tells.
    nothing = Graph((), {}, (), ())
    assert unpadded(tensors, ran, nothing)["t3"].shape == (1, 10, 5, 5)
    assert unpadded(tensors, ran, nothing)["t1"].shape == (1, 32, 7, 7)
