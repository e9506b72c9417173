"""An fp8 graph (E4M3): a quantized graph whose int8 codes are replaced by 8-bit floating-point numbers.

TensorRT builds it for compute capability 8.9 and later. The largest magnitude of each activation, which the int8
scale maps to 127, and that of each channel of a weight map to 448, the largest number of E4M3 (Micikevicius et al.
2022, "FP8 formats for deep learning").
"""

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from capsedge.export.graph import integer

_INT8_MOST, _FP8_MOST = 127, 448


def in_fp8(quantized: onnx.ModelProto, original: onnx.ModelProto) -> onnx.ModelProto:
    """Convert an int8 QDQ graph to fp8, with the same ranges.

    Args:
        quantized: The int8 graph (`capsedge.export.precision.quantize`), for the activations' scales.
        original: The fp32 graph that was quantized, for the unrounded weights.
    """
    result = onnx.ModelProto()
    result.CopyFrom(quantized)
    constants = {each.name: each for each in result.graph.initializer}
    weights = {each.name: numpy_helper.to_array(each) for each in original.graph.initializer}
    pairs = [node for node in result.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    for name in {node.input[1] for node in pairs if node.input[0] not in constants}:
        scale = numpy_helper.to_array(constants[name]) * np.float32(_INT8_MOST / _FP8_MOST)
        constants[name].CopyFrom(numpy_helper.from_array(scale, name))
    for name in {node.input[2] for node in pairs}:
        zero = np.zeros(tuple(constants[name].dims), ml_dtypes.float8_e4m3fn)
        constants[name].CopyFrom(numpy_helper.from_array(zero, name))
    for node in pairs:
        if node.input[0] in constants:
            _store(constants, node, weights[node.input[0].removesuffix("_quantized")])
    for kind in result.graph.value_info:
        if kind.type.tensor_type.elem_type == TensorProto.INT8:
            kind.type.tensor_type.elem_type = TensorProto.FLOAT8E4M3FN
    onnx.checker.check_model(result, full_check=True)
    return result


def _store(constants: dict[str, onnx.TensorProto], node: onnx.NodeProto, weight: np.ndarray) -> None:
    """Write the codes and the scale of each channel of a weight, from its fp32 values: int8 has a coarser scale."""
    axis = integer(node, "axis", 1) % weight.ndim
    others = tuple(each for each in range(weight.ndim) if each != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / np.float32(_FP8_MOST), np.float32(1)).astype(np.float32)
    constants[node.input[1]].CopyFrom(numpy_helper.from_array(scale.reshape(-1), node.input[1]))
    codes = np.clip(weight / scale, -_FP8_MOST, _FP8_MOST).astype(ml_dtypes.float8_e4m3fn)
    constants[node.input[0]].CopyFrom(numpy_helper.from_array(codes, node.input[0]))
