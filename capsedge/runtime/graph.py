"""The nodes of an ONNX file, read without the onnx package: who makes which tensor, and how large the weights are.

The same walk over protobuf's wire format as in `capsedge.onnx_file`, two levels deeper (onnx/onnx.proto).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.onnx_file import fields_of, read_varint

# Field numbers of onnx.proto: ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, ValueInfoProto.
_GRAPH = 7
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _ATTRIBUTE, _DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER = 1, 3
_DIMS, _DATA_TYPE, _INT32_DATA, _TENSOR_NAME, _RAW_DATA = 1, 2, 5, 8, 9
_VALUE_NAME = 1

# TensorProto.DataType, by the names that ONNX Runtime's profiler uses, with bytes for one number.
_KINDS = {
    1: "float",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "double",
    12: "uint32",
    13: "uint64",
    16: "bfloat16",
}
_BYTES = {"uint16": 2, "int16": 2, "float16": 2, "bfloat16": 2, "float": 4, "int32": 4, "uint32": 4}
_BYTES |= {"double": 8, "int64": 8, "uint64": 8}


class Tensor(NamedTuple):
    """What is known of a tensor: the name of its type, and its axes."""

    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes it takes; types that are not listed take one for each number, as the 8-bit ones do."""
        return self.numbers * _BYTES.get(self.kind, 1)


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        op: Its type.
        name: Its name, or "".
        domain: "" for onnx's own operators.
        inputs: Names of tensors; "" where an optional one is left out.
        outputs: Names of tensors.
        integers: Its attributes that are one integer, by name.
    """

    op: str
    name: str
    domain: str = ""
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    integers: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A graph in the order of its file, which is topological.

    Attributes:
        nodes: Its operators.
        weights: Its initializers.
        inputs: Names of what goes in.
        outputs: Names of what comes out.
        encoded: Its int8 initializers as they stand in the file, for `int8_codes`.
    """

    nodes: tuple[Node, ...]
    weights: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encoded: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def maker(self) -> dict[str, int]:
        """The index of the node that makes each tensor."""
        return {name: index for index, node in enumerate(self.nodes) for name in node.outputs if name}

    @cached_property
    def constants(self) -> frozenset[str]:
        """Names of the tensors that are the same in every run: weights, and what is computed from them alone."""
        known = set(self.weights)
        for node in self.nodes:
            if known.issuperset(name for name in node.inputs if name):
                known.update(node.outputs)
        return frozenset(known)

    def int8_codes(self, name: str) -> NDArray[np.int8] | None:
        """The numbers of an int8 initializer; None where the file does not hold all of them (external data).

        Raises:
            ModelError: They are damaged.
        """
        codes = b""
        try:
            for number, encoded, value in fields_of(memoryview(self.encoded[name])):
                if number == _RAW_DATA:
                    codes = bytes(value)
                elif number == _INT32_DATA:
                    codes += bytes(each & 0xFF for each in _numbers(encoded, value))
        except ValueError as error:
            raise ModelError(f"the weight '{name}' is damaged ({error}); export or copy it again") from error
        tensor = self.weights[name]
        return np.frombuffer(codes, np.int8).reshape(tensor.shape) if len(codes) == tensor.numbers else None

    def makers(self, node: Node) -> Iterator[int]:
        """Yield the indices of the nodes whose results a node takes, constants left out."""
        for name in node.inputs:
            if name in self.maker and name not in self.constants:
                yield self.maker[name]


def read_graph(path: Path) -> Graph:
    """Read the outer graph of an ONNX file; those within its nodes (If, Loop) are not looked into.

    Raises:
        ModelError: The file is missing, or is not a whole ONNX file.
    """
    try:
        content = memoryview(path.read_bytes())
        return _graph(next(value for number, _, value in fields_of(content) if number == _GRAPH))
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read as a model: {error.strerror}") from error
    except StopIteration as error:
        raise ModelError(f"'{path}' is not an ONNX file: it holds no graph") from error
    except ValueError as error:
        raise ModelError(f"'{path}' is not a whole ONNX file ({error}); export or copy it again") from error


def _graph(message: memoryview) -> Graph:
    nodes: list[Node] = []
    weights: dict[str, Tensor] = {}
    encoded: dict[str, bytes] = {}
    ends: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
    for number, _, value in fields_of(message):
        if number == _NODE:
            nodes.append(_node(value))
        elif number == _INITIALIZER:
            name, tensor = _weight(value)
            weights[name] = tensor
            if tensor.kind == "int8":
                encoded[name] = bytes(value)
        elif number in ends:
            ends[number].extend(_text(text) for inner, _, text in fields_of(value) if inner == _VALUE_NAME)
    inputs = tuple(name for name in ends[_INPUT] if name not in weights)  # old files list their weights as inputs
    return Graph(tuple(nodes), weights, inputs, tuple(ends[_OUTPUT]), encoded)


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {}
    integers: dict[str, int] = {}
    for number, _, value in fields_of(message):
        if number == _ATTRIBUTE:
            integers.update(_integer(value))
        elif number in (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _DOMAIN):
            texts.setdefault(number, []).append(_text(value))
    name, op, domain = ("".join(texts.get(number, [])) for number in (_NODE_NAME, _OP, _DOMAIN))
    return Node(
        op=op,
        name=name,
        domain=domain,
        inputs=tuple(texts.get(_NODE_INPUT, ())),
        outputs=tuple(texts.get(_NODE_OUTPUT, ())),
        integers=integers,
    )


def _integer(attribute: memoryview) -> Iterator[tuple[str, int]]:
    fields = {number: value for number, _, value in fields_of(attribute)}
    if _ATTRIBUTE_INTEGER in fields:
        yield _text(fields[_ATTRIBUTE_NAME]), _number(fields[_ATTRIBUTE_INTEGER])


def _weight(message: memoryview) -> tuple[str, Tensor]:
    name, kind = "", 0
    shape: list[int] = []
    for number, encoded, value in fields_of(message):
        if number == _DIMS:
            shape.extend(_numbers(encoded, value))
        elif number == _DATA_TYPE:
            kind = _number(value)
        elif number == _TENSOR_NAME:
            name = _text(value)
    return name, Tensor(_KINDS.get(kind, f"type {kind}"), tuple(shape))


def _numbers(encoded: memoryview, value: memoryview) -> Iterable[int]:
    """One number of a repeated field, or several where they are packed (wire type 2)."""
    if encoded[0] & 7 == 0:
        return [_number(value)]
    numbers = []
    position = 0
    while position < len(value):
        number, position = read_varint(value, position)
        numbers.append(number)
    return numbers


def _number(value: memoryview) -> int:
    """A signed 64-bit integer: two's complement in a varint."""
    number, _ = read_varint(value, 0)
    return number - (1 << 64) if number >> 63 else number


def _text(value: memoryview) -> str:
    return bytes(value).decode()
