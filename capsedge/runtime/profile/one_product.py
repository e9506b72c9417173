"""An ONNX file with one matrix product, written without the onnx package: the roof of computing is measured with it.

The edge has no onnx, and a roof is honest only if the same runtime computes it; so the few fields of onnx.proto that
such a file needs are encoded here (protobuf.dev/programming-guides/encoding).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.runtime.feeds import Arrays, random_array

INPUT = "a"

# The types that a product is timed in: its operator, the codes of TensorProto for both sides and the result.
_FLOAT, _UINT8, _INT8, _INT32, _FLOAT16 = 1, 2, 3, 6, 10
_PRODUCTS = {
    "fp32": ("MatMul", _FLOAT, _FLOAT, _FLOAT),
    "fp16": ("MatMul", _FLOAT16, _FLOAT16, _FLOAT16),
    "int8": ("MatMulInteger", _UINT8, _INT8, _INT32),
}
_NUMPY = {_FLOAT: np.float32, _UINT8: np.uint8, _INT8: np.int8, _FLOAT16: np.float16}
KINDS = tuple(_PRODUCTS)

_IR_VERSION, _OPSET = 8, 13


def write_product(path: Path, kind: str, side: int) -> Arrays:
    """Write a file that multiplies a square matrix by a constant one, and give what it takes.

    Args:
        path: The file.
        kind: One of `KINDS`.
        side: Rows and columns of both.
    """
    op, left, right, made = _PRODUCTS[kind]
    path.write_bytes(_model(op, left, right, made, random_array((side, side), _NUMPY[right])))
    return {INPUT: random_array((side, side), _NUMPY[left])}


def _model(op: str, left: int, right: int, made: int, weight: NDArray[np.generic]) -> bytes:
    shape = weight.shape
    node = _text(1, INPUT) + _text(1, "b") + _text(2, "c") + _text(3, "product") + _text(4, op)
    dims = b"".join(_number(1, side) for side in shape)
    tensor = dims + _number(2, right) + _text(8, "b") + _part(9, weight.tobytes())
    graph = (
        _part(1, node)
        + _text(2, "one product")
        + _part(5, tensor)
        + _part(11, _value(INPUT, left, shape))
        + _part(12, _value("c", made, shape))
    )
    return _number(1, _IR_VERSION) + _part(7, graph) + _part(8, _text(1, "") + _number(2, _OPSET))


def _value(name: str, kind: int, shape: tuple[int, ...]) -> bytes:
    """ValueInfoProto: a tensor's name, type and axes."""
    axes = b"".join(_part(1, _number(1, side)) for side in shape)
    return _text(1, name) + _part(2, _part(1, _number(1, kind) + _part(2, axes)))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
