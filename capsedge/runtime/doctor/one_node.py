"""The smallest model that proves a provider: one node, x * x, written without the onnx package.

An ONNX file is one protobuf message; the numbers are the fields of onnx/onnx.proto.
"""

import numpy as np

from capsedge.errors import ModelError
from capsedge.runtime.session import Session

_FLOAT = 1
_IR_VERSION, _OPSET = 8, 13  # old enough for every runtime that capsedge admits


def one_node() -> bytes:
    """An ONNX file that squares four float32 numbers, `x` to `y`."""
    mul = _text(1, "x") + _text(1, "x") + _text(2, "y") + _text(3, "square") + _text(4, "Mul")
    graph = _part(1, mul) + _text(2, "one node") + _part(11, _value("x")) + _part(12, _value("y"))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _text(1, "") + _number(2, _OPSET))


def prove(session: Session) -> None:
    """Run the model.

    Raises:
        ModelError: It failed, or its answer is wrong.
    """
    x = np.array([0, 1, 3, -0.5], np.float32)  # whose squares every type of float holds exactly
    (y,) = session.run_raw({"x": x}).values()
    if not np.array_equal(y, x * x):
        raise ModelError(f"a node that squares {x.tolist()} gives {y.tolist()}")


def _value(name: str) -> bytes:
    """A ValueInfoProto of float32 [4]: name, and type with element type and shape."""
    shape = _part(1, _number(1, 4))
    return _text(1, name) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, shape)))


def _number(field: int, value: int) -> bytes:
    """A field that holds a small number (wire type 0)."""
    return bytes([field << 3, value])


def _part(field: int, content: bytes) -> bytes:
    """A field that holds a message or a text of at most 127 bytes (wire type 2)."""
    return bytes([field << 3 | 2, len(content)]) + content


def _text(field: int, content: str) -> bytes:
    return _part(field, content.encode())
