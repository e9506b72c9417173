"""The reader of nodes, against the onnx package."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capsedge.errors import ModelError
from capsedge.onnx_lite.graph import read_graph
from capsedge.onnx_lite.tensor import Tensor
from tests.runtime.capsule_model import graph


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return graph()


def test_nodes_weights_and_ends_are_those_that_onnx_reads(good: Path) -> None:
    read, model = read_graph(good), onnx.load(good)

    wanted = [
        (node.op_type, node.name, node.domain, tuple(node.input), tuple(node.output)) for node in model.graph.node
    ]
    assert [(node.op, node.name, node.domain, node.inputs, node.outputs) for node in read.nodes] == wanted
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert {name: tensor.shape for name, tensor in read.weights.items()} == {
        name: array.shape for name, array in weights.items()
    }
    assert {name: tensor.size_bytes for name, tensor in read.weights.items()} == {
        name: array.nbytes for name, array in weights.items()
    }
    assert (read.inputs, read.outputs) == (("image",), ("lengths", "poses"))


def test_integer_attributes_are_read_the_negative_too(model: onnx.ModelProto, tmp_path: Path) -> None:
    node = helper.make_node("Softmax", ["a"], ["b"], axis=-1, text="no integer")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.node.append(node)
    onnx.save(copy, tmp_path / "model.onnx")

    assert read_graph(tmp_path / "model.onnx").nodes[-1].integers == {"axis": -1}


def test_packed_axes_are_read_as_well(tmp_path: Path) -> None:
    """proto3 writers pack repeated numbers into one field; onnx's own does not."""
    tensor = b"\x0a\x03\x03\x80\x01" + b"\x10\x0a" + b"\x42\x01w"  # dims [3, 128] packed, float16, name w
    inner = b"\x2a" + bytes([len(tensor)]) + tensor
    (tmp_path / "packed.onnx").write_bytes(b"\x3a" + bytes([len(inner)]) + inner)

    assert read_graph(tmp_path / "packed.onnx").weights == {"w": Tensor("float16", (3, 128))}


def test_what_follows_from_weights_alone_is_constant(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Neg", ["w"], ["v"]),
        helper.make_node("Add", ["v", "w"], ["u"]),
        helper.make_node("Add", ["x", "u"], ["y"]),
    ]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    ends = [value("x", TensorProto.FLOAT, [1])], [value("y", TensorProto.FLOAT, [1])]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", *ends, [weight])), tmp_path / "m.onnx")
    read = read_graph(tmp_path / "m.onnx")

    assert read.constants == {"w", "v", "u"}
    assert list(read.makers(read.nodes[2])) == []


def test_a_damaged_file_is_one_line(good: Path, models: Path, tmp_path: Path) -> None:
    (tmp_path / "half.onnx").write_bytes(good.read_bytes()[:5000])
    with pytest.raises(ModelError, match=r"half.onnx' is not a whole ONNX file .* export or copy it again"):
        read_graph(tmp_path / "half.onnx")
    with pytest.raises(ModelError, match="it holds no graph"):
        read_graph(models / "empty.onnx")
    with pytest.raises(ModelError, match="there is no model at"):
        read_graph(models / "gone.onnx")
