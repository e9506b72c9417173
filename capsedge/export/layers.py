"""Reading the types of the layers back from a graph: a file is labelled by its content, not by the request."""

import math
from collections.abc import Iterator

import onnx

from capsedge.contract import Layer, width
from capsedge.errors import ModelError
from capsedge.export.graph import NamedGraph, integer

LAYER_OPS = ("Conv", "Gemm", "MatMul")
NO_LAYERS = "no-layers"  # code of the error

_T = onnx.TensorProto
_NAMES: dict[int, str] = {
    _T.FLOAT: "fp32",
    _T.FLOAT16: "fp16",
    _T.BFLOAT16: "bf16",
    _T.INT8: "int8",
    _T.FLOAT8E4M3FN: "fp8",
}


def layers_of(model: onnx.ModelProto) -> tuple[Layer, ...]:
    """Every convolution and matrix product of a graph, with its computation type and its cost for one image.

    A product of two results of DequantizeLinear is counted as computed in their stored type, as TensorRT and ONNX
    Runtime compute it.

    Raises:
        ModelError: The graph is invalid, or has no such layer.
    """
    try:
        layers = tuple(_ShapedGraph(model).layers())
    except (KeyError, IndexError, ValueError) as error:  # a tensor without a producer or with an unknown shape
        raise ModelError(f"its graph is damaged, or has operators of a runtime's own: see {error}") from error
    if not layers:
        raise ModelError(
            "its graph has no Conv, Gemm or MatMul: a runtime may have replaced them by its own operators",
            code=NO_LAYERS,
        )
    return layers


class _ShapedGraph(NamedGraph):
    """A graph with the shapes and types of all its tensors, for a batch of one image."""

    def __init__(self, model: onnx.ModelProto) -> None:
        single = onnx.ModelProto()
        single.CopyFrom(model)
        constants = {constant.name for constant in single.graph.initializer}
        for tensor in single.graph.input:  # old files list initializers as inputs, and a scalar has no batch axis
            if tensor.name not in constants and tensor.type.tensor_type.shape.dim:
                tensor.type.tensor_type.shape.dim[0].dim_value = 1
        for tensor in single.graph.output:  # their batch follows from the input's
            tensor.type.tensor_type.ClearField("shape")
        del single.graph.value_info[:]
        try:
            inferred = onnx.shape_inference.infer_shapes(single, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            raise ModelError(
                f"the shapes of its graph do not fit each other: {' '.join(str(error).split())}"
            ) from error
        super().__init__(inferred.graph)
        known = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
        self.types = {value.name: value.type.tensor_type.elem_type for value in known}
        self.shapes: dict[str, list[int]] = {
            value.name: [axis.dim_value for axis in value.type.tensor_type.shape.dim] for value in known
        }
        for constant in inferred.graph.initializer:
            self.types[constant.name] = constant.data_type
            self.shapes[constant.name] = list(constant.dims)
        # From each tensor that is computed from constants only, such as a dequantized weight, to the constant's name.
        self.origin = {constant.name: constant.name for constant in inferred.graph.initializer}

    def layers(self) -> Iterator[Layer]:
        for node in self.nodes:
            if node.input and all(name in self.origin for name in node.input):
                self.origin |= dict.fromkeys(node.output, self.origin[node.input[0]])
            elif node.op_type in LAYER_OPS:
                yield self._layer(node)

    def _layer(self, node: onnx.NodeProto) -> Layer:
        operands = list(node.input[:2])
        constant = [self.origin[name] for name in operands if name in self.origin]
        weight = max(constant, key=lambda name: math.prod(self.shapes[name]), default=None)
        kinds = [self._stored_type(name) for name in operands]
        return Layer(
            name=weight or node.name,
            op=node.op_type,
            type=min(kinds, key=width),
            output=_name(self.types[node.output[0]]),
            flops=2 * math.prod(self.shapes[node.output[0]]) * self._depth(node),
            parameters=0 if weight is None else math.prod(self.shapes[weight]),
        )

    def _stored_type(self, name: str) -> str:
        """The type of a tensor, or its stored type if it was dequantized."""
        node = self.makers.get(name)
        while node is not None and node.op_type in ("Flatten", "Reshape", "Transpose"):
            name = node.input[0]
            node = self.makers.get(name)
        quantized = node is not None and node.op_type == "DequantizeLinear"
        return _name(self.types[node.input[0] if node is not None and quantized else name])

    def _depth(self, node: onnx.NodeProto) -> int:
        """Number of products that are summed for one element of the result."""
        if node.op_type == "Conv":
            return math.prod(self.shapes[node.input[1]][1:])
        return self.shapes[node.input[0]][-2 if integer(node, "transA", 0) else -1]


def _name(kind: int) -> str:
    return _NAMES.get(kind) or str(onnx.helper.tensor_dtype_to_np_dtype(kind))
