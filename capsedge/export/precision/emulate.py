"""Emulation of fp16, bf16 and fp8 graphs in fp32, for runtimes that lack these types.

ONNX Runtime's CPU provider computes fp16 graphs in fp32, without overflow or rounding, and does not load bf16 or fp8
graphs. The emulation stores every such tensor as fp32 and rounds it to its type each time it is computed: products
are summed in fp32 and stored in few bits, as in tensor cores.
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
    """The types of a graph that ONNX Runtime's CPU provider lacks (bf16, fp8) or computes in fp32 (fp16)."""
    return {_ROUNDED[kind] for kind in types_of(model).values() if kind in _ROUNDED}


def emulated(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in fp32, with every fp16, bf16 and fp8 value rounded to its type."""
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
    """Rewrites each node of a graph in fp32."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.types = types_of(model)
        self.ranks = {constant.name: len(constant.dims) for constant in model.graph.initializer}

    def of(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield a node in fp32, followed by the rounding of each result."""
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
        """Yield the codes as fp32 values: a Cast to fp8 saturates, like QuantizeLinear."""
        name = node.output[0]
        yield helper.make_node("Div", node.input[:2], [f"{name}_exact"])
        yield from _rounded(f"{name}_exact", name, TensorProto.FLOAT8E4M3FN)

    def _dequantize(self, node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
        """Yield a product with the scale; a scale for each channel is first aligned to the channel axis."""
        codes, scale, *_ = node.input
        (name,) = node.output
        kind = self.types[name]
        if self.ranks.get(scale) and (trailing := self._trailing_axes(node)):
            axes, aligned = f"{name}_axes", f"{name}_scale"
            yield helper.make_node("Constant", [], [axes], value_ints=trailing)
            yield helper.make_node("Unsqueeze", [scale, axes], [aligned])
            scale = aligned
        product = f"{name}_exact" if kind in _HALVES else name
        yield helper.make_node("Mul", [codes, scale], [product])
        if kind in _HALVES:
            yield from _rounded(product, name, kind)

    def _trailing_axes(self, node: onnx.NodeProto) -> list[int]:
        """Axes to append to a scale of [channels], so that it aligns with the channel axis of the codes."""
        rank = self.ranks[node.input[0]]
        return list(range(1, rank - integer(node, "axis", 1) % rank))


def _rounded(exact: str, name: str, kind: int) -> Iterator[onnx.NodeProto]:
    """Yield the casts that round a tensor to a type and back to fp32."""
    yield helper.make_node("Cast", [exact], [f"{name}_rounded"], to=kind)
    yield helper.make_node("Cast", [f"{name}_rounded"], [name], to=TensorProto.FLOAT)
