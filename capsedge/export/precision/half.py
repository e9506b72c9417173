"""A graph in half precision: products in fp16 or bf16, squash and norms in fp32, with casts in between.

TensorRT is strongly typed and computes a graph in the types that are written in it, so they are chosen here. Existing
float16 converters convert everything, or lists of operators, and insert casts to fp16 between neighbours that should
stay in fp32: a sum of squares then overflows at a norm of 256.
"""

from collections.abc import Iterator
from typing import Literal

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from capsedge.errors import ModelError
from capsedge.export.graph import NamedGraph, rewritten, types_of

HalfType = Literal["fp16", "bf16"]

# Products, the activations that follow them directly, and the scales around them.
HALF_OPS = frozenset(("Conv", "Gemm", "MatMul", "Relu", "LeakyRelu", "QuantizeLinear", "DequantizeLinear"))
# Operators from feature maps to feature maps; other sums, such as those in squash, stay in fp32.
MAP_OPS = frozenset(("Add", "Relu", "LeakyRelu", "QuantizeLinear", "DequantizeLinear"))
# Operators that only move data keep the type of their input.
MOVING_OPS = frozenset(("Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"))

_ONNX_TYPES = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
_NUMPY_TYPES = {"fp16": np.dtype(np.float16), "bf16": np.dtype(ml_dtypes.bfloat16)}
_BF16_OPSET = 22  # the first with bf16 operators


def in_half(model: onnx.ModelProto, half: HalfType) -> onnx.ModelProto:
    """Convert the products of a graph to 16 bits; everything else, and every output, stays in fp32.

    Args:
        model: A graph in fp32, quantized or not.
        half: `fp16` or `bf16`; bf16 has the range of fp32 and needs opset 22.

    Raises:
        ModelError: A weight is too large for the type, or the scale of a quantized tensor is too small.
    """
    if half == "bf16":
        model = onnx.version_converter.convert_version(model, _BF16_OPSET)
    typed = _TypedGraph(model, half)
    nodes = [each for node, half_node in typed.decided for each in typed.of(node, half_node)]
    kept = [each for each in model.graph.initializer if each.name in typed.full_constants]
    kept += [each for each in model.graph.initializer if each.name not in typed.float_constants]
    return rewritten(model, nodes, [*kept, *typed.rounded.values()])


class _TypedGraph(NamedGraph):
    """A graph in which each node's type is decided in order; casts are then inserted between different types."""

    def __init__(self, model: onnx.ModelProto, half: HalfType) -> None:
        super().__init__(model.graph)
        self.half = half
        self.floats = {name for name, kind in types_of(model).items() if kind == TensorProto.FLOAT}
        self.float_constants = {each.name for each in model.graph.initializer if each.name in self.floats}
        self.half_tensors: set[str] = set()
        self.maps: set[str] = set()
        self.decided = [(node, self._decide(node)) for node in self.nodes]
        self.full_constants = {  # constants that a node in fp32 reads
            name
            for node, half_node in self.decided
            for name in node.input
            if name in self.float_constants and not half_node
        }
        self.rounded: dict[str, TensorProto] = {}
        self.casts: set[str] = set()

    def _decide(self, node: onnx.NodeProto) -> bool:
        """Whether a node computes in half precision."""
        moved = node.op_type in MOVING_OPS and node.input[0] in self.half_tensors
        added = node.op_type == "Add" and self.maps.issuperset(node.input)
        if node.op_type == "Conv" or (node.op_type in MAP_OPS and node.input[0] in self.maps):
            self.maps.update(node.output)
        half = node.op_type in HALF_OPS or moved or added
        if half:  # outputs of the graph stay in fp32
            self.half_tensors.update(name for name in node.output if name in self.floats.difference(self.outputs))
        return half

    def of(self, node: onnx.NodeProto, half: bool) -> Iterator[onnx.NodeProto]:
        """Yield a node with operands and results of its type, and the casts that it needs."""
        typed = onnx.NodeProto()
        typed.CopyFrom(node)
        for index, name in enumerate(node.input):
            if half and name in self.float_constants:
                typed.input[index] = self._round(name)
            elif name in self.floats and (name in self.half_tensors) != half:
                typed.input[index] = f"{name}_{self.half if half else 'fp32'}"
                yield from self._cast(name, typed.input[index], half)
        output_casts = []
        for index, name in enumerate(node.output):
            if half and name in self.outputs:
                typed.output[index] = f"{name}_{self.half}"
                output_casts.append(_cast(typed.output[index], name, TensorProto.FLOAT))
        yield typed
        yield from output_casts

    def _cast(self, name: str, other: str, half: bool) -> Iterator[onnx.NodeProto]:
        """Yield the cast of a tensor to the other type, once for each tensor."""
        if other not in self.casts:
            self.casts.add(other)
            yield _cast(name, other, _ONNX_TYPES[self.half] if half else TensorProto.FLOAT)

    def _round(self, name: str) -> str:
        """The name of a constant in half precision: its own, unless the constant is also needed in fp32."""
        other = f"{name}_{self.half}" if name in self.full_constants else name
        if other not in self.rounded:
            values = numpy_helper.to_array(self.constants[name])
            self.rounded[other] = numpy_helper.from_array(self._rounded(name, values), other)
        return other

    def _rounded(self, name: str, values: NDArray[np.float32]) -> NDArray[np.generic]:
        with np.errstate(over="ignore"):
            rounded = values.astype(_NUMPY_TYPES[self.half])
        if not np.isfinite(rounded.astype(np.float32)).all():
            raise ModelError(
                f"'{name}' holds {float(np.abs(values).max()):.3g}, which {self.half} cannot hold", "use bf16 or fp32"
            )
        if name.endswith("_scale") and not rounded.all():
            raise ModelError(f"'{name}' holds a scale too small for {self.half}", "use int8")
        return rounded


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_{target}", to=kind)
