"""Graphs that TensorRT refuses or reads otherwise, each for one reason, with the node that has it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from tests.export.tensorrt.graphs import typed


def node(model: onnx.ModelProto, name: str) -> Any:  # whose fields are edited
    return next(each for each in model.graph.node if each.name == name)


def replace(model: onnx.ModelProto, name: str, value: object, kind: type[np.generic]) -> None:
    constant = next(each for each in model.graph.initializer if each.name == name)
    constant.CopyFrom(numpy_helper.from_array(np.array(value, kind), name))


def quantized_bias() -> onnx.ModelProto:
    """A bias in int32, as ONNX Runtime's quantization writes it unless it is told otherwise."""
    model = typed("int8")
    scale = numpy_helper.from_array(np.array(1e-3, np.float32), "bias_scale")
    bias = numpy_helper.from_array(np.arange(10, dtype=np.int32), "bias_stored")
    model.graph.initializer.extend([scale, bias])
    model.graph.node.insert(
        0, helper.make_node("DequantizeLinear", ["bias_stored", "bias_scale"], ["bias"], name="bias")
    )
    node(model, "products").input.append("bias")
    return model


def zero_point(value: int, kind: type[np.generic]) -> onnx.ModelProto:
    """The image quantized with another zero-point."""
    model = typed("int8")
    replace(model, "nchw_zero", value, kind)
    return model


def no_zero_point() -> onnx.ModelProto:
    """The image quantized without a zero-point, which ONNX reads as uint8."""
    model = typed("int8")
    del node(model, "nchw_quantized").input[2:], node(model, "nchw_dequantized").input[2:]
    return model


def quantized_operator() -> onnx.ModelProto:
    """A convolution in QOperator format."""
    model = typed("int8")
    replace_scales = ["nchw_scale", "nchw_zero", "conv_stored", "conv_scale", "conv_zero", "positive_scale"]
    old = node(model, "features")
    old.op_type = "QLinearConv"
    del old.input[:]
    old.input.extend(["nchw_quantized", *replace_scales, "positive_zero"])
    old.output[0] = "features_quantized"
    at = list(model.graph.node).index(old) + 1
    scale = ["positive_scale", "positive_zero"]
    model.graph.node.insert(
        at, helper.make_node("DequantizeLinear", ["features_quantized", *scale], ["features"], name="back")
    )
    return model


def transposed_bytes() -> onnx.ModelProto:
    """The image transposed before it is cast."""
    model = typed("fp32")
    cast, transpose = node(model, "pixels"), node(model, "nchw")
    transpose.input[0], transpose.output[0] = "image", "turned"
    cast.input[0], cast.output[0] = "turned", "nchw"
    first = [onnx.NodeProto.FromString(each.SerializeToString()) for each in (transpose, cast)]
    rest = [onnx.NodeProto.FromString(each.SerializeToString()) for each in list(model.graph.node)[2:]]
    del model.graph.node[:]
    model.graph.node.extend([*first, *rest])
    return model


def fixed_batch() -> onnx.ModelProto:
    """A batch of 3 baked in."""
    model = typed("fp32")
    for tensor in (*model.graph.input, *model.graph.output):
        tensor.type.tensor_type.shape.dim[0].dim_value = 3
    return model


def unknown_operator() -> onnx.ModelProto:
    """An operator that nobody has, in a node without a name."""
    model = typed("fp32")
    relu = node(model, "positive")
    relu.op_type, relu.name = "Mystery", ""
    return model


REFUSED: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "int32 bias": (quantized_bias, "bias"),
    "int8 zero-point": (lambda: zero_point(3, np.int8), "nchw_quantized"),
    "uint8 zero-point": (lambda: zero_point(128, np.uint8), "nchw_quantized"),
    "QOperator": (quantized_operator, "features"),
    "transposed bytes": (transposed_bytes, "nchw"),
}
"""What the parser refuses by itself, with the node that it names."""

READ_OTHERWISE: dict[str, Callable[[], onnx.ModelProto]] = {
    "uint8 zero-point of 0": lambda: zero_point(0, np.uint8),
    "no zero-point": no_zero_point,
}
"""What the parser takes for int8, where ONNX means uint8."""
