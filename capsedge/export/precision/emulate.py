"""What a graph with 16-bit or fp8 types computes where they are true, on a machine whose runtime has none.

ONNX Runtime's CPU provider computes fp16 graphs in fp32, where nothing overflows and nothing is rounded, and loads
no bf16 or fp8 graph. Here every such tensor becomes an fp32 one that is rounded to its type each time it is made:
products are summed in fp32 and stored in few bits, as tensor cores do.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from capsedge.export.graph import integer, rewritten, types_of

_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
_ROUNDED: dict[int, str] = {
    TensorProto.FLOAT16: "fp16",
    TensorProto.BFLOAT16: "bf16",
    TensorProto.FLOAT8E4M3FN: "fp8",
}


def emulated_types(model: onnx.ModelProto) -> set[str]:
    """The types of a graph that the CPU provider of ONNX Runtime has not (bf16, fp8), or only by name (fp16)."""
    return {_ROUNDED[kind] for kind in types_of(model).values() if kind in _ROUNDED}


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in fp32, with every value rounded that the graph holds in fp16, bf16 or fp8."""
    graph = _Rounding(model)
    nodes = [each for node in model.graph.node for each in graph.of(node)]
    used = {name for node in nodes for name in node.input}
    constants = [_in_full(constant) for constant in model.graph.initializer if constant.name in used]
    return rewritten(model, nodes, constants)


def _in_full(constant: onnx.TensorProto) -> onnx.TensorProto:
    if constant.data_type not in _ROUNDED:
        return constant
    return numpy_helper.from_array(numpy_helper.to_array(constant).astype(np.float32), constant.name)


class _Rounding:
    """How each node of one graph is written in fp32."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.types = types_of(model)
        self.ranks = {constant.name: len(constant.dims) for constant in model.graph.initializer}

    def of(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """A node in fp32, and after it the rounding of each result."""
        if node.op_type == "QuantizeLinear" and self.types[node.output[0]] == TensorProto.FLOAT8E4M3FN:
            yield from self._quantize(node)
        elif node.op_type == "DequantizeLinear" and self.types[node.input[0]] == TensorProto.FLOAT8E4M3FN:
            yield from self._dequantize(node)
        else:
            yield from self._plain(node)

    def _plain(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        in_full = onnx.NodeProto()
        in_full.CopyFrom(node)
        for attribute in in_full.attribute:
            if node.op_type == "Cast" and attribute.name == "to" and attribute.i in _HALVES:
                attribute.i = TensorProto.FLOAT
        rounded = {name: self.types[name] for name in node.output if self.types.get(name) in _HALVES}
        for index, name in enumerate(node.output):
            if name in rounded:
                in_full.output[index] = f"{name}_exact"
        yield in_full
        for name, kind in rounded.items():
            yield from _rounded(f"{name}_exact", name, kind)

    def _quantize(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """The codes, as fp32 numbers: a Cast to fp8 saturates, as QuantizeLinear does."""
        name = node.output[0]
        yield helper.make_node("Div", node.input[:2], [f"{name}_exact"])
        yield from _rounded(f"{name}_exact", name, TensorProto.FLOAT8E4M3FN)

    def _dequantize(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """A product with the scale; a scale for each channel must stand on the channel's axis."""
        codes, scale, *_ = node.input
        (name,) = node.output
        kind = self.types[name]
        if self.ranks.get(scale) and (behind := self._axes_behind(node)):
            axes, aligned = f"{name}_axes", f"{name}_scale"
            yield helper.make_node("Constant", [], [axes], value_ints=behind)
            yield helper.make_node("Unsqueeze", [scale, axes], [aligned])
            scale = aligned
        product = f"{name}_exact" if kind in _HALVES else name
        yield helper.make_node("Mul", [codes, scale], [product])
        if kind in _HALVES:
            yield from _rounded(product, name, kind)

    def _axes_behind(self, node: onnx.NodeProto) -> list[int]:
        """Axes that a scale of [channels] must get behind its own to stand on the channel's axis of the codes."""
        rank = self.ranks[node.input[0]]
        return list(range(1, rank - integer(node, "axis", 1) % rank))


def _rounded(exact: str, name: str, kind: int) -> Iterator[onnx.NodeProto]:
    """Round a tensor to a type and give it back in fp32."""
    yield helper.make_node("Cast", [exact], [f"{name}_rounded"], to=kind)
    yield helper.make_node("Cast", [f"{name}_rounded"], [name], to=TensorProto.FLOAT)
