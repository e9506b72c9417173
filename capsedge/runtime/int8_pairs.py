"""Whether sums of two int8 products of a file fit into 16 bits, so that every processor computes them exactly.

x86 processors without VNNI multiply unsigned activations of 0 to 255 by signed weights, and add two products in 16
bits with saturation (VPMADDUBSW). ONNX Runtime makes the int8 activations of a QDQ graph unsigned on x86, and
computes QLinear operators as they are written. Its documentation advises weights of 7 bits there (onnxruntime.ai,
"Quantize ONNX models", on U8S8 saturation).

Which two weights are added depends on the kernel. The check is therefore over all pairs of weights of an output: if
the sum of its two largest and of its two smallest weights fits into 16 bits, every pair does. Weights of up to 64
always fit: 255 * (64 + 64) = 32,640. Weights that the file does not show count as the worst case.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import PAIR_LIMIT, Int8Pairs
from capsedge.errors import ModelError
from capsedge.onnx_lite.graph import Graph, Node, read_graph

_LARGEST_ACTIVATION = 255
_WORST = _LARGEST_ACTIVATION * 2 * 128  # for weights that are not known

# Operators that multiply integers directly, with the inputs that hold their weights.
_INTEGER_PRODUCTS = {
    "ConvInteger": (1,),
    "DynamicQuantizeLSTM": (1, 2),
    "DynamicQuantizeMatMul": (1,),
    "MatMulInteger": (1,),
    "MatMulIntegerToFloat": (1,),
    "QAttention": (1,),
    "QGemm": (3,),
    "QLinearConv": (3,),
    "QLinearMatMul": (3,),
}
_AS_WRITTEN, _ACTIVATION_ZERO = ("QGemm", "QLinearConv", "QLinearMatMul"), 2
_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# Operators that only move numbers: a weight behind one has the same numbers in another order.
_MOVING = ("Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Operators that a runtime may compute in the integers of the DequantizeLinear before them.
_PASSING = (
    *("Cast", "Clip", "Concat", "DepthToSpace", "Dropout", "Gather", "GlobalMaxPool", "MaxPool", "Pad", "Relu"),
    *("Resize", "Slice", "SpaceToDepth", "Split", "Tile", *_MOVING),
)


class _Codes(NamedTuple):
    """The integers that an operand of a product was dequantized from.

    Attributes:
        tensor: Name of their tensor: an initializer, or the output of a node.
        moved: Whether their order in the product differs from that in the tensor.
        known: Whether the product uses exactly the tensor's numbers.
    """

    tensor: str
    moved: bool
    known: bool


def int8_pairs(file: Path) -> Int8Pairs | None:
    """The largest sum of two products of a file's int8 layers; None where no layer multiplies signed int8 weights.

    Weights that are not constant, or are stored outside the file, count as -128 to 127. So do all weights of a file
    with quantized layers in subgraphs or functions.

    Args:
        file: Any ONNX file.

    Raises:
        ModelError: The file is missing or damaged.
    """
    graph = read_graph(file)
    try:
        found = [_of_layer(graph, node, codes) for node, codes in _layers(graph)]
    except ValueError as error:  # numbers that do not fit their axes, a node without inputs
        raise damaged_graph(file, str(error)) from error
    if graph.inner.intersection(("DequantizeLinear", *_INTEGER_PRODUCTS)):
        found.append(Int8Pairs(largest=_WORST, weight="(a graph within a node, or a function)"))
    return max(found, key=lambda pairs: pairs.largest, default=None)


def damaged_graph(file: Path, reason: str) -> ModelError:
    """The error for a file whose graph contradicts itself."""
    return ModelError(f"the graph of '{file}' is damaged ({reason})", "export or copy it again")


def in_words(pairs: Int8Pairs) -> str:
    """One clause that says why pairs do not fit."""
    return (
        f"two int8 products of '{pairs.weight}' can sum to {pairs.largest:,}, and x86 processors without VNNI add "
        f"them in 16 bits, up to {PAIR_LIMIT:,}"
    )


def _layers(graph: Graph) -> Iterator[tuple[Node, _Codes]]:
    """Each layer that multiplies by signed int8 weights, or by weights that the graph does not show."""
    for node in graph.nodes:
        if node.op in _INTEGER_PRODUCTS:
            if node.op in _AS_WRITTEN and _kind(graph, _input(node, _ACTIVATION_ZERO)) == "int8":
                continue  # signed by signed: no processor adds these in pairs
            given = [node.inputs[each] for each in _INTEGER_PRODUCTS[node.op] if each < len(node.inputs)]
            found = [_constant_behind(graph, name) for name in given if name]
        elif node.op in _PRODUCTS:
            operands = [_codes_behind(graph, name) for name in node.inputs[:2]]
            found = [operands[1]] if len(operands) == 2 and all(operands) and operands[1] else []
        else:
            continue
        yield from ((node, codes) for codes in found if not codes.known or _kind(graph, codes.tensor) == "int8")


def _codes_behind(graph: Graph, name: str) -> _Codes | None:
    """The integers that an operand was dequantized from; None where no DequantizeLinear comes before it."""
    moved, known = False, True
    for node in _before(graph, name):
        if node.op == "DequantizeLinear":
            codes = _constant_behind(graph, _input(node, 0))
            return codes._replace(moved=moved or codes.moved, known=known and codes.known)
        if node.op not in _PASSING:
            return None
        moved, known = True, known and node.op in _MOVING
    return None


def _constant_behind(graph: Graph, name: str) -> _Codes:
    """The initializer that integers come from, or else the tensor where the search ends."""
    moved, known = False, True
    for node in _before(graph, name):
        if node.op in ("Constant", "QuantizeLinear"):
            break
        name, moved, known = _input(node, 0), True, known and node.op in _MOVING
    return _Codes(name, moved, known)


def _input(node: Node, index: int) -> str:
    """The name of an input.

    Raises:
        ValueError: The node lacks it.
    """
    if index >= len(node.inputs):
        what = f"{node.op} '{node.name or next(iter(node.outputs), '')}'"
        from capsedge.plural import number_of  # only for an error

        raise ValueError(f"{what} needs {number_of(index + 1, 'input')} or more, it has {len(node.inputs)}")
    return node.inputs[index]


def _before(graph: Graph, name: str) -> Iterator[Node]:
    """The nodes that a tensor comes from, through the first input of each; a damaged graph may have cycles."""
    seen: set[int] = set()
    while (maker := graph.maker.get(name)) is not None and maker not in seen:
        seen.add(maker)
        yield graph.nodes[maker]
        name = next(iter(graph.nodes[maker].inputs), "")


def _kind(graph: Graph, tensor: str) -> str:
    """The integer type of an initializer or of a QuantizeLinear's output; int8 where the graph does not show it."""
    if tensor in graph.weights:
        return graph.weights[tensor].kind
    maker = graph.maker.get(tensor)
    node = None if maker is None else graph.nodes[maker]
    if node is not None and node.op == "DynamicQuantizeLinear":
        return "uint8"
    if node is None or node.op != "QuantizeLinear":
        return "int8"
    if len(node.inputs) > 2 and (zero := node.inputs[2]):
        return graph.weights[zero].kind if zero in graph.weights else "int8"
    return "uint8" if node.integers.get("output_dtype", 0) in (0, 2) else "int8"  # as onnx's TensorProto counts


def _of_layer(graph: Graph, node: Node, found: _Codes) -> Int8Pairs:
    constant = found.tensor in graph.weights
    codes = graph.int8_codes(found.tensor) if found.tensor in graph.encoded and found.known else None
    if codes is None:
        return Int8Pairs(largest=_WORST, weight=found.tensor if constant else node.name or node.outputs[0])
    by_output = codes.reshape(1, -1) if found.moved else _by_output(node, codes)
    return Int8Pairs(largest=_LARGEST_ACTIVATION * _largest_pair(by_output), weight=found.tensor)


def _by_output(node: Node, codes: NDArray[np.int8]) -> NDArray[np.int8]:
    """The integers of a weight as [outputs, products]."""
    if codes.ndim < 2 or not codes.size or node.op == "ConvTranspose":
        return codes.reshape(1, -1)
    axis = 0 if "Conv" in node.op or node.integers.get("transB", 0) else codes.ndim - 1
    return np.moveaxis(codes, axis, 0).reshape(codes.shape[axis], -1)


def _largest_pair(codes: NDArray[np.int8]) -> int:
    """Largest magnitude of the sum of two weights of the same sign and output; `codes` is [outputs, products]."""
    if not codes.size:
        return 0
    positive = _two_of_each(codes, np.argmax, np.int8(-128)).clip(min=0).sum(1).max()
    negative = _two_of_each(codes, np.argmin, np.int8(127)).clip(max=0).sum(1).min()
    return max(int(positive), -int(negative))


def _two_of_each(codes: NDArray[np.int8], find: Callable[..., NDArray[np.intp]], last: np.int8) -> NDArray[np.int64]:
    """The two largest or smallest of each output, [outputs, 2]. `last` is the value that `find` prefers least."""
    rest, rows = codes.copy(), np.arange(len(codes))
    found = []
    for _ in range(2):  # two passes over bytes; sorting would need wide integers
        where = find(rest, axis=1)
        found.append(rest[rows, where])
        rest[rows, where] = last
    return np.stack(found, 1).astype(np.int64)
