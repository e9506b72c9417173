"""ONNX files of one node, for testing a provider and for timing a single product in a runtime."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.onnx_lite.schema import (
    AXIS_SIZE,
    BY_DTYPE,
    SHAPE_AXIS,
    TYPE_TENSOR,
    ElementType,
    GraphField,
    ModelField,
    NodeField,
    OpsetField,
    TensorField,
    TensorTypeField,
    ValueField,
)
from capsedge.onnx_lite.wire import bytes_field, integer_field, text_field

_IR_VERSION, _OPSET = 8, 13  # supported by every runtime that capsedge supports


class Value(NamedTuple):
    """An input or output of a graph.

    Attributes:
        name: Name of the tensor.
        kind: Element type, such as `schema.FLOAT`.
        shape: Axes.
    """

    name: str
    kind: ElementType
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
        op: Operator of onnx's own domain.
        name: Name of the node.
        inputs: Names of the node's inputs, each the name of `takes` or of `weight`.
        takes: Input of the graph.
        makes: Output of the graph.
        weight: Name and values of a constant, of any shape, and of any type in `schema.ELEMENT_TYPES` that numpy has.
    """
    node = (
        b"".join(text_field(NodeField.INPUT, each) for each in inputs)
        + text_field(NodeField.OUTPUT, makes.name)
        + text_field(NodeField.NAME, name)
        + text_field(NodeField.OP_TYPE, op)
    )
    graph = (
        bytes_field(GraphField.NODE, node)
        + text_field(GraphField.NAME, "one node")
        + (b"" if weight is None else bytes_field(GraphField.INITIALIZER, _tensor(*weight)))
        + bytes_field(GraphField.INPUT, _value(takes))
        + bytes_field(GraphField.OUTPUT, _value(makes))
    )
    opset = text_field(OpsetField.DOMAIN, "") + integer_field(OpsetField.VERSION, _OPSET)
    return (
        integer_field(ModelField.IR_VERSION, _IR_VERSION)
        + bytes_field(ModelField.GRAPH, graph)
        + bytes_field(ModelField.OPSET_IMPORT, opset)
    )


def _tensor(name: str, array: NDArray[np.generic]) -> bytes:
    """A TensorProto: axes, type, name and values."""
    return (
        b"".join(integer_field(TensorField.DIMS, side) for side in array.shape)
        + integer_field(TensorField.DATA_TYPE, BY_DTYPE[array.dtype].code)
        + text_field(TensorField.NAME, name)
        + bytes_field(TensorField.RAW_DATA, array.tobytes())
    )


def _value(value: Value) -> bytes:
    """A ValueInfoProto: name, and type with element type and axes."""
    axes = b"".join(bytes_field(SHAPE_AXIS, integer_field(AXIS_SIZE, side)) for side in value.shape)
    tensor = integer_field(TensorTypeField.ELEMENT, value.kind.code) + bytes_field(TensorTypeField.SHAPE, axes)
    return text_field(ValueField.NAME, value.name) + bytes_field(ValueField.TYPE, bytes_field(TYPE_TENSOR, tensor))
