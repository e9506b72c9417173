"""An ONNX file of one node, written without the onnx package, which the edge has not.

An ONNX file is one protobuf message; the numbers below are the fields of onnx/onnx.proto, in the wire format of
protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# TensorProto.DataType.
FLOAT, UINT8, INT8, INT32, FLOAT16 = 1, 2, 3, 6, 10
_CODES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int32": INT32, "float16": FLOAT16}

_IR_VERSION, _OPSET = 8, 13  # old enough for every runtime that capsedge admits


class Value(NamedTuple):
    """What goes into a graph or comes out of it.

    Attributes:
        name: Its name.
        kind: The code of its type, such as `FLOAT`.
        shape: Its axes.
    """

    name: str
    kind: int
    shape: tuple[int, ...]


def one_node_file(
    op: str,
    name: str,
    inputs: Sequence[str],
    *,
    takes: Value,
    makes: Value,
    weight: tuple[str, NDArray[np.generic]] | None = None,
) -> bytes:
    """Encode a file of one node.

    Args:
        op: Its operator, of onnx's own.
        name: Its name.
        inputs: What it reads: `takes` or `weight` by their names, each as often as the operator wants it.
        takes: What goes in.
        makes: What comes out.
        weight: Name and numbers of a constant; float32, float16, uint8, int8 or int32.
    """
    node = b"".join(_text(1, each) for each in inputs) + _text(2, makes.name) + _text(3, name) + _text(4, op)
    constant = b"" if weight is None else _part(5, _tensor(*weight))
    graph = _part(1, node) + _text(2, "one node") + constant + _part(11, _value(takes)) + _part(12, _value(makes))
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _text(1, "") + _number(2, _OPSET))


def _tensor(name: str, array: NDArray[np.generic]) -> bytes:
    """A TensorProto: its axes, type, name and numbers."""
    axes = b"".join(_number(1, side) for side in array.shape)
    return axes + _number(2, _CODES[array.dtype.name]) + _text(8, name) + _part(9, array.tobytes())


def _value(value: Value) -> bytes:
    """A ValueInfoProto: name, and type with element type and axes."""
    axes = b"".join(_part(1, _number(1, side)) for side in value.shape)
    return _text(1, value.name) + _part(2, _part(1, _number(1, value.kind) + _part(2, axes)))


def _number(field: int, value: int) -> bytes:
    """A field that holds a number (wire type 0)."""
    return _varint(field << 3) + _varint(value)


def _part(field: int, content: bytes) -> bytes:
    """A field that holds a message or a text (wire type 2)."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
