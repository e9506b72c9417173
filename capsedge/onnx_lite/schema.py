"""Field numbers and element types from onnx/onnx.proto."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike


class ModelField(IntEnum):
    """ModelProto."""

    IR_VERSION = 1
    GRAPH = 7
    OPSET_IMPORT = 8
    METADATA = 14
    FUNCTION = 25


class GraphField(IntEnum):
    """GraphProto."""

    NODE = 1
    NAME = 2
    INITIALIZER = 5
    INPUT = 11
    OUTPUT = 12


FUNCTION_NODE = 7
"""Field number of FunctionProto's nodes."""


class NodeField(IntEnum):
    """NodeProto."""

    INPUT = 1
    OUTPUT = 2
    NAME = 3
    OP_TYPE = 4
    ATTRIBUTE = 5
    DOMAIN = 7


class AttributeField(IntEnum):
    """AttributeProto."""

    NAME = 1
    INTEGER = 3
    TENSOR = 5
    GRAPH = 6
    GRAPHS = 11


class TensorField(IntEnum):
    """TensorProto."""

    DIMS = 1
    DATA_TYPE = 2
    INT32_DATA = 5
    NAME = 8
    RAW_DATA = 9
    EXTERNAL_DATA = 13
    DATA_LOCATION = 14


class EntryField(IntEnum):
    """StringStringEntryProto: a key and its value."""

    KEY = 1
    VALUE = 2


class OpsetField(IntEnum):
    """OperatorSetIdProto."""

    DOMAIN = 1
    VERSION = 2


class ValueField(IntEnum):
    """ValueInfoProto: an input or output of a graph."""

    NAME = 1
    TYPE = 2


class TensorTypeField(IntEnum):
    """TypeProto.Tensor."""

    ELEMENT = 1
    SHAPE = 2


TYPE_TENSOR, SHAPE_AXIS, AXIS_SIZE = 1, 1, 1
"""Field numbers of TypeProto's tensor, TensorShapeProto's axes, and the size of an axis."""


class ElementType(NamedTuple):
    """An element type of tensors.

    Attributes:
        code: Number in TensorProto.DataType.
        name: Name in ONNX Runtime's sessions and profiles.
        bits: Bits of one element.
        dtype: numpy's type; None if numpy has none.
    """

    code: int
    name: str
    bits: int
    dtype: DTypeLike | None


FLOAT = ElementType(1, "float", 32, np.float32)
UINT8 = ElementType(2, "uint8", 8, np.uint8)
INT8 = ElementType(3, "int8", 8, np.int8)
INT32 = ElementType(6, "int32", 32, np.int32)
FLOAT16 = ElementType(10, "float16", 16, np.float16)

ELEMENT_TYPES = (
    *(FLOAT, UINT8, INT8, INT32, FLOAT16),
    ElementType(4, "uint16", 16, np.uint16),
    ElementType(5, "int16", 16, np.int16),
    ElementType(7, "int64", 64, np.int64),
    ElementType(9, "bool", 8, np.bool_),
    ElementType(11, "double", 64, np.float64),
    ElementType(12, "uint32", 32, np.uint32),
    ElementType(13, "uint64", 64, np.uint64),
    ElementType(14, "complex64", 64, np.complex64),
    ElementType(15, "complex128", 128, np.complex128),
    ElementType(16, "bfloat16", 16, None),
    ElementType(17, "float8e4m3fn", 8, None),
    ElementType(18, "float8e4m3fnuz", 8, None),
    ElementType(19, "float8e5m2", 8, None),
    ElementType(20, "float8e5m2fnuz", 8, None),
    ElementType(21, "uint4", 4, None),
    ElementType(22, "int4", 4, None),
    ElementType(23, "float4e2m1", 4, None),
    ElementType(24, "float8e8m0", 8, None),
    ElementType(25, "uint2", 2, None),
    ElementType(26, "int2", 2, None),
)
"""All types except `string`, whose elements have no fixed size."""

BY_CODE = {each.code: each for each in ELEMENT_TYPES}
BY_NAME = {each.name: each for each in ELEMENT_TYPES}
BY_DTYPE = {np.dtype(each.dtype): each for each in ELEMENT_TYPES if each.dtype is not None}
