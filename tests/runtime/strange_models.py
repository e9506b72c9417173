"""Models that many tests share, good, broken and strange; read only."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from capsedge.contract import METADATA_KEY
from tests.runtime.capsule_model import graph, save


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: good.onnx, and others that are broken or strange in one way each."""
    folder = tmp_path_factory.mktemp("models")
    model = graph()
    save(model, folder / "good.onnx")
    save(graph(batch=2), folder / "batch-of-2.onnx")
    good = (folder / "good.onnx").read_bytes()
    (folder / "truncated.onnx").write_bytes(good[:-100])
    (folder / "text.onnx").write_text("This is not a model.\n")
    (folder / "empty.onnx").write_bytes(b"")
    _flip_a_weight(folder / "good.onnx", folder / "altered-weight.onnx")
    _replace_an_operator(folder / "good.onnx", folder / "altered-graph.onnx")
    _replace_contract(folder / "good.onnx", folder / "newer.onnx", b'{"schema":99}')
    _replace_contract(folder / "good.onnx", folder / "damaged-contract.onnx", b'{"schema":2,"name":3}')
    onnx.save(_foreign(), folder / "foreign.onnx")
    return folder


@pytest.fixture(scope="session")
def good(models: Path) -> Path:
    """A model with a true contract."""
    return models / "good.onnx"


def _flip_a_weight(source: Path, target: Path) -> None:
    """Flip the lowest bit of the exponent of one weight, as a bad copy would."""
    content = bytearray(source.read_bytes())
    weight = next(tensor for tensor in onnx.load(source).graph.initializer if tensor.name == "classes.weight")
    content[content.index(weight.raw_data) + 4 * 1000 + 2] ^= 0x80
    target.write_bytes(content)


def _replace_an_operator(source: Path, target: Path) -> None:
    """Replace an operator, and leave every weight as it is."""
    model = onnx.load(source)
    relu = next(node for node in model.graph.node if node.op_type == "Relu")
    relu.op_type = "Abs"
    onnx.save(model, target)


def _replace_contract(source: Path, target: Path, contract: bytes) -> None:
    model = onnx.load(source)
    helper.set_model_props(model, {METADATA_KEY: contract.decode()})
    onnx.save(model, target)


def _foreign() -> onnx.ModelProto:
    """Somebody's model: no contract, several inputs of several types, free axes that are no batch."""
    table = numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "table")
    inputs = [
        helper.make_tensor_value_info("tokens", TensorProto.INT64, ("n", "words")),
        helper.make_tensor_value_info("noise", TensorProto.FLOAT16, ("n", "words", 3)),
        helper.make_tensor_value_info("gate", TensorProto.BOOL, ()),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("Cast", ["noise"], ["noise32"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["rows", "noise32"], ["sum"]),
        helper.make_node("Where", ["gate", "sum", "rows"], ["answer"]),
    ]
    outputs = [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ("n", "words", 3))]
    return helper.make_model(
        helper.make_graph(nodes, "foreign", inputs, outputs, initializer=[table]),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
