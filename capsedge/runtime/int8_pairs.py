"""Whether the int8 products of a file stay within 16 bits, whatever processor runs them.

x86 processors without VNNI multiply unsigned activations of 0 to 255 with signed weights, and add two products in 16
bits, which saturate (VPMADDUBSW). ONNX Runtime shifts signed activations by 128 and does the same. Its documentation
advises weights of 7 bits there (onnxruntime.ai, "Quantize ONNX models", on U8S8 saturation).

Which two weights are neighbours depends on the kernel. So here any two weights of an output count: where the two
largest of them, and the two smallest, keep the sum within 16 bits, every order does. Weights of up to 64 always do:
255 * (64 + 64) = 32,640.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Int8Pairs
from capsedge.runtime.graph import Graph, Node

_LARGEST_ACTIVATION = 255
_WORST = _LARGEST_ACTIVATION * 2 * 128  # of weights that are not known

# Operators that multiply integers themselves, with the input that holds their weight.
_INTEGER_PRODUCTS = {
    "ConvInteger": 1,
    "DynamicQuantizeMatMul": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "QAttention": 1,
    "QGemm": 3,
    "QLinearConv": 3,
    "QLinearMatMul": 3,
}
_PRODUCTS = ("Conv", "Gemm", "MatMul")
# What only moves numbers: a runtime computes a product in int8 where it finds DequantizeLinear behind these too.
_MOVING = ("Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def int8_pairs(graph: Graph) -> Int8Pairs | None:
    """The largest sum of two products of a graph's int8 layers; None where no layer multiplies signed int8 weights.

    Weights that are no constants, or lie outside of the file, count as -128 to 127.

    Raises:
        ModelError: A weight is damaged.
    """
    found = [_of_layer(graph, node, weight) for node, weight in _layers(graph)]
    return max(found, key=lambda pairs: pairs.largest, default=None)


def _layers(graph: Graph) -> Iterator[tuple[Node, str]]:
    """Each layer that multiplies in int8, with the tensor of its weight's codes."""
    for node in graph.nodes:
        if node.op in _INTEGER_PRODUCTS and len(node.inputs) > _INTEGER_PRODUCTS[node.op]:
            codes = node.inputs[_INTEGER_PRODUCTS[node.op]]
        elif node.op in _PRODUCTS and len(node.inputs) > 1:
            activation, codes = (_codes_behind(graph, name) for name in node.inputs[:2])
            if not activation or not codes:
                continue
        else:
            continue
        if _kind(graph, codes) == "int8":
            yield node, codes


def _codes_behind(graph: Graph, name: str) -> str:
    """The integers that a tensor was dequantized from, "" where it was not."""
    while (maker := graph.maker.get(name)) is not None:
        node = graph.nodes[maker]
        if node.op == "DequantizeLinear":
            return node.inputs[0]
        if node.op not in _MOVING:
            break
        name = node.inputs[0]
    return ""


def _kind(graph: Graph, codes: str) -> str:
    """The type of integers: a weight's, or the one that QuantizeLinear's zero-point has (uint8 where it has none)."""
    if codes in graph.weights:
        return graph.weights[codes].kind
    maker = graph.maker.get(codes)
    node = None if maker is None else graph.nodes[maker]
    if node is None or node.op != "QuantizeLinear" or len(node.inputs) < 3:
        return "uint8"
    zero_point = graph.weights.get(node.inputs[2])
    return "int8" if zero_point is None else zero_point.kind


def _of_layer(graph: Graph, node: Node, weight: str) -> Int8Pairs:
    constant = weight in graph.weights
    codes = graph.int8_codes(weight) if constant else None
    if codes is None:
        return Int8Pairs(largest=_WORST, weight=weight if constant else node.name or node.outputs[0])
    return Int8Pairs(largest=_LARGEST_ACTIVATION * _largest_pair(_by_output(graph, node, codes)), weight=weight)


def _by_output(graph: Graph, node: Node, codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """The codes of a weight as [outputs, products]; as one output where it is moved on its way to the product."""
    moved = node.op in _PRODUCTS and graph.nodes[graph.maker[node.inputs[1]]].op != "DequantizeLinear"
    if moved or codes.ndim < 2 or not codes.size:
        return codes.reshape(1, -1)
    axis = 0 if "Conv" in node.op or node.integers.get("transB", 0) else codes.ndim - 1
    return np.moveaxis(codes, axis, 0).reshape(codes.shape[axis], -1)


def _largest_pair(codes: NDArray[np.int8]) -> int:
    """Largest magnitude of the sum of two weights of one sign, of one output: [outputs, products]."""
    if not codes.size:
        return 0
    most = min(2, codes.shape[1])
    sizes = [np.maximum(sign * codes.astype(np.int16), 0) for sign in (1, -1)]
    return max(int(np.partition(size, -most, axis=1)[:, -most:].sum(1).max()) for size in sizes)
