"""The nodes of an ONNX file, the tensors that they produce, and the sizes of the weights."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.onnx_lite.file import no_graph, not_whole, read_content
from capsedge.onnx_lite.schema import (
    FUNCTION_NODE,
    AttributeField,
    GraphField,
    ModelField,
    NodeField,
    TensorField,
    ValueField,
)
from capsedge.onnx_lite.tensor import Tensor, read_tensor
from capsedge.onnx_lite.wire import fields_of, read_integer, read_integers, read_text

_WITHIN = (AttributeField.GRAPH, AttributeField.GRAPHS)


@dataclass(frozen=True)
class Node:
    """One operator of a graph.

    Attributes:
        op: Operator type.
        name: Name of the node; "" if it has none.
        domain: Operator domain; "" for onnx's own.
        inputs: Names of tensors; "" for an omitted optional input.
        outputs: Names of tensors.
        integers: Attributes with a single integer, by name.
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
        nodes: Nodes of the graph.
        weights: Initializers and tensors of Constant nodes.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        encoded: Encoded int8 weights, for `int8_codes`.
        inner: Operators in the bodies of its nodes (If, Loop) and in functions of the file.
    """

    nodes: tuple[Node, ...]
    weights: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    encoded: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    inner: frozenset[str] = frozenset()

    @cached_property
    def maker(self) -> dict[str, int]:
        """The index of the node that produces each tensor."""
        return {name: index for index, node in enumerate(self.nodes) for name in node.outputs if name}

    @cached_property
    def constants(self) -> frozenset[str]:
        """Names of the tensors that are equal in every run: weights, and tensors computed only from them."""
        known = set(self.weights)
        for node in self.nodes:
            if known.issuperset(name for name in node.inputs if name):
                known.update(node.outputs)
        return frozenset(known)

    def int8_codes(self, name: str) -> NDArray[np.int8] | None:
        """The values of an int8 initializer in its shape; None if they are not all in the file (external data).

        Raises:
            ValueError: The initializer is damaged.
        """
        codes = b""
        for number, encoded, value in fields_of(memoryview(self.encoded[name])):
            if number == TensorField.RAW_DATA:
                codes = bytes(value)
            elif number == TensorField.INT32_DATA:
                codes += bytes(each & 0xFF for each in read_integers(encoded, value))
        tensor = self.weights[name]
        if min(tensor.shape, default=0) < 0:
            raise ValueError(f"the axes of '{name}' are {list(tensor.shape)}")
        return np.frombuffer(codes, np.int8).reshape(tensor.shape) if len(codes) == tensor.numbers else None

    def makers(self, node: Node) -> Iterator[int]:
        """Yield the indices of the nodes that produce the inputs of a node, except constants."""
        for name in node.inputs:
            if name in self.maker and name not in self.constants:
                yield self.maker[name]


def read_graph(path: Path) -> Graph:
    """Read the main graph of an ONNX file, and the operators of inner graphs (If, Loop) and functions.

    Raises:
        ModelError: The file is missing, or is not a complete ONNX file.
    """
    content = read_content(path)
    parts: dict[int, list[memoryview]] = {ModelField.GRAPH: [], ModelField.FUNCTION: []}
    try:
        for number, _, value in fields_of(content):
            if number in parts:
                parts[number].append(value)
        if not parts[ModelField.GRAPH]:
            raise no_graph(path)
        functions = {op for function in parts[ModelField.FUNCTION] for op in _operators(function, FUNCTION_NODE)}
        return _graph(parts[ModelField.GRAPH][0], functions)
    except (ValueError, KeyError, RecursionError) as error:  # KeyError: an attribute without a name
        raise not_whole(path, error) from error


def _graph(message: memoryview, functions: set[str]) -> Graph:
    nodes: list[Node] = []
    tensors: list[tuple[str, memoryview]] = []
    inner = set(functions)
    ends: dict[int, list[str]] = {GraphField.INPUT: [], GraphField.OUTPUT: []}
    for number, _, value in fields_of(message):
        if number == GraphField.NODE:
            nodes.append(_node(value))
            inner.update(op for graph in _attributes(value, *_WITHIN) for op in _operators(graph, GraphField.NODE))
            if nodes[-1].op == "Constant":
                tensors += product(nodes[-1].outputs, _attributes(value, AttributeField.TENSOR))
        elif number == GraphField.INITIALIZER:
            tensors.append(("", value))
        elif number in ends:
            ends[number].extend(read_text(text) for part, _, text in fields_of(value) if part == ValueField.NAME)
    weights: dict[str, Tensor] = {}
    encoded: dict[str, bytes] = {}
    for output, value in tensors:
        own, tensor, _ = read_tensor(value)
        name = output or own
        weights[name] = tensor
        if tensor.kind == "int8":
            encoded[name] = bytes(value)
    # Old files list initializers as inputs.
    inputs = tuple(name for name in ends[GraphField.INPUT] if name not in weights)
    return Graph(tuple(nodes), weights, inputs, tuple(ends[GraphField.OUTPUT]), encoded, frozenset(inner))


def _attributes(node: memoryview, *kinds: int) -> Iterator[memoryview]:
    """The values of the fields of these kinds in all attributes of a node."""
    for number, _, attribute in fields_of(node):
        if number == NodeField.ATTRIBUTE:
            yield from (value for kind, _, value in fields_of(attribute) if kind in kinds)


def _operators(holder: memoryview, field: int) -> Iterator[str]:
    """The operators of the nodes in a field of a graph or a function, at any depth."""
    for number, _, node in fields_of(holder):
        if number == field:
            yield from (read_text(op) for kind, _, op in fields_of(node) if kind == NodeField.OP_TYPE)
            for graph in _attributes(node, *_WITHIN):
                yield from _operators(graph, GraphField.NODE)


def _node(message: memoryview) -> Node:
    texts: dict[int, list[str]] = {}
    integers: dict[str, int] = {}
    for number, _, value in fields_of(message):
        if number == NodeField.ATTRIBUTE:
            integers.update(_integer(value))
        elif number in (NodeField.INPUT, NodeField.OUTPUT, NodeField.NAME, NodeField.OP_TYPE, NodeField.DOMAIN):
            texts.setdefault(number, []).append(read_text(value))
    name, op, domain = (
        "".join(texts.get(number, [])) for number in (NodeField.NAME, NodeField.OP_TYPE, NodeField.DOMAIN)
    )
    return Node(
        op=op,
        name=name,
        domain=domain,
        inputs=tuple(texts.get(NodeField.INPUT, ())),
        outputs=tuple(texts.get(NodeField.OUTPUT, ())),
        integers=integers,
    )


def _integer(attribute: memoryview) -> Iterator[tuple[str, int]]:
    fields = {number: value for number, _, value in fields_of(attribute)}
    if AttributeField.INTEGER in fields:
        yield read_text(fields[AttributeField.NAME]), read_integer(fields[AttributeField.INTEGER])
