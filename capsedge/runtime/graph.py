"""The nodes of an ONNX file, read without the onnx package: who makes which tensor, and how large the weights are.

The same walk over protobuf's wire format as in `capsedge.onnx_file`, two levels deeper (onnx/onnx.proto).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.onnx_file import fields_of, read_varint

# Field numbers of onnx.proto: ModelProto, GraphProto, FunctionProto, NodeProto, AttributeProto, TensorProto,
# ValueInfoProto.
_GRAPH, _FUNCTION = 7, 25
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12
_FUNCTION_NODE = 7
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _OP, _ATTRIBUTE, _DOMAIN = 1, 2, 3, 4, 5, 7
_ATTRIBUTE_NAME, _ATTRIBUTE_INTEGER, _ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPHS = 1, 3, 5, (6, 11)
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
        weights: Its initializers, and the tensors of its Constant nodes.
        inputs: Names of what goes in.
        outputs: Names of what comes out.
        encoded: Those of int8 as they stand in the file, for `int8_codes`.
        inner: Operators of the nodes in graphs within its nodes (If, Loop) and in functions of the file.
    """

    nodes: tuple[Node, ...]
    weights: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encoded: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    inner: frozenset[str] = frozenset()

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
            ValueError: They are damaged.
        """
        codes = b""
        for number, encoded, value in fields_of(memoryview(self.encoded[name])):
            if number == _RAW_DATA:
                codes = bytes(value)
            elif number == _INT32_DATA:
                codes += bytes(each & 0xFF for each in _numbers(encoded, value))
        tensor = self.weights[name]
        if min(tensor.shape, default=0) < 0:
            raise ValueError(f"the axes of '{name}' are {list(tensor.shape)}")
        return np.frombuffer(codes, np.int8).reshape(tensor.shape) if len(codes) == tensor.numbers else None

    def makers(self, node: Node) -> Iterator[int]:
        """Yield the indices of the nodes whose results a node takes, constants left out."""
        for name in node.inputs:
            if name in self.maker and name not in self.constants:
                yield self.maker[name]


def read_graph(path: Path) -> Graph:
    """Read the outer graph of an ONNX file; of those within its nodes (If, Loop), and of functions, the operators.

    Raises:
        ModelError: The file is missing, or is not a whole ONNX file.
    """
    try:
        parts: dict[int, list[memoryview]] = {_GRAPH: [], _FUNCTION: []}
        for number, _, value in fields_of(memoryview(path.read_bytes())):
            if number in parts:
                parts[number].append(value)
        if not parts[_GRAPH]:
            raise ModelError(f"'{path}' is not an ONNX file: it holds no graph")
        functions = {op for function in parts[_FUNCTION] for op in _operators(function, _FUNCTION_NODE)}
        return _graph(parts[_GRAPH][0], functions)
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read as a model: {error.strerror}") from error
    except (ValueError, KeyError, RecursionError) as error:  # KeyError: an attribute without a name
        raise ModelError(f"'{path}' is not a whole ONNX file ({error}); export or copy it again") from error


def _graph(message: memoryview, functions: set[str]) -> Graph:
    nodes: list[Node] = []
    tensors: list[tuple[str, memoryview]] = []
    inner = set(functions)
    ends: dict[int, list[str]] = {_INPUT: [], _OUTPUT: []}
    for number, _, value in fields_of(message):
        if number == _NODE:
            nodes.append(_node(value))
            inner.update(op for graph in _attributes(value, *_ATTRIBUTE_GRAPHS) for op in _operators(graph, _NODE))
            if nodes[-1].op == "Constant":
                tensors += product(nodes[-1].outputs, _attributes(value, _ATTRIBUTE_TENSOR))
        elif number == _INITIALIZER:
            tensors.append(("", value))
        elif number in ends:
            ends[number].extend(_text(text) for part, _, text in fields_of(value) if part == _VALUE_NAME)
    weights: dict[str, Tensor] = {}
    encoded: dict[str, bytes] = {}
    for output, value in tensors:
        own, tensor = _weight(value)
        name = output or own
        weights[name] = tensor
        if tensor.kind == "int8":
            encoded[name] = bytes(value)
    inputs = tuple(name for name in ends[_INPUT] if name not in weights)  # old files list their weights as inputs
    return Graph(tuple(nodes), weights, inputs, tuple(ends[_OUTPUT]), encoded, frozenset(inner))


def _attributes(node: memoryview, *kinds: int) -> Iterator[memoryview]:
    """The values of such fields in all attributes of a node."""
    for number, _, attribute in fields_of(node):
        if number == _ATTRIBUTE:
            yield from (value for kind, _, value in fields_of(attribute) if kind in kinds)


def _operators(holder: memoryview, field: int) -> Iterator[str]:
    """The operators of a graph's or a function's nodes, which it holds in such a field, at any depth."""
    for number, _, node in fields_of(holder):
        if number == field:
            yield from (_text(op) for kind, _, op in fields_of(node) if kind == _OP)
            for graph in _attributes(node, *_ATTRIBUTE_GRAPHS):
                yield from _operators(graph, _NODE)


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
