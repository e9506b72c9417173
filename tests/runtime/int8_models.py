"""Small int8 models, as ONNX Runtime's quantizer and others write them, with weights of one's choice."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT8, UINT8 = TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8


def quantized_product(
    codes: NDArray[Any], *, activations: int = INT8, op: str = "MatMul", moved: str = "", **attributes: Any
) -> onnx.ModelProto:
    """`x` [batch, n], times weights of such codes, in QDQ format; `y` is quantized too, so that it runs in integers.

    Args:
        codes: int8 or uint8, [n, outputs], or as `op` and `attributes` want it.
        activations: Their type.
        op: MatMul, Gemm or Conv.
        moved: An operator that takes no attributes and stands between the weight and the product.
        attributes: Of the product.
    """
    kind = np.int8 if activations == INT8 else np.uint8
    inputs = codes.shape[1 if op == "Conv" or attributes.get("transB") else 0]
    spatial = codes.shape[2:] if op == "Conv" else ()
    constants: dict[str, NDArray[Any]] = {
        "one": np.array(1, np.float32),
        "large": np.array(2.0**15, np.float32),
        "a_zero": np.array(0, kind),
        "w": codes,
        "w_zero": np.array(0, codes.dtype),
    }
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "one", "a_zero"], ["x_codes"]),
        node("DequantizeLinear", ["x_codes", "one", "a_zero"], ["x_back"]),
        node("DequantizeLinear", ["w", "one", "w_zero"], ["w_back"]),
        *([node(moved, ["w_back"], ["w_moved"])] if moved else []),
        node(op, ["x_back", "w_moved" if moved else "w_back"], ["p"], name="product", **attributes),
        node("QuantizeLinear", ["p", "large", "a_zero"], ["p_codes"]),
        node("DequantizeLinear", ["p_codes", "large", "a_zero"], ["y"]),
    ]
    return model_of(nodes, constants, ("batch", inputs, *spatial))


def model_of(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[Any]],
    shape: tuple[str | int, ...],
    kinds: tuple[int, int] = (FLOAT, FLOAT),
) -> onnx.ModelProto:
    """A model from `x` to `y`, of these types."""
    graph = helper.make_graph(
        nodes,
        "int8",
        [helper.make_tensor_value_info("x", kinds[0], shape)],
        [helper.make_tensor_value_info("y", kinds[1], None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def saved(model: onnx.ModelProto, file: Path) -> Path:
    """Write a model."""
    onnx.save(model, file)
    return file
