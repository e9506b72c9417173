"""What can go wrong with a file between two machines or two tools: each changes a model in place."""

from collections.abc import Callable

import msgspec
import numpy as np
import onnx
from onnx import numpy_helper

from capsedge.contract import METADATA_KEY, Contract

Model = onnx.ModelProto
Corruption = Callable[[Model], None]


def constant_behind(model: Model, name: str) -> onnx.TensorProto:
    """The constant that a tensor is, or is dequantized or cast from."""
    makers = {output: node for node in model.graph.node for output in node.output}
    while name in makers:
        name = makers[name].input[0]
    tensor: onnx.TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return tensor


def node(model: Model, operator: str, which: int = 0) -> onnx.NodeProto:
    found: onnx.NodeProto = [node for node in model.graph.node if node.op_type == operator][which]
    return found


def weight(model: Model, operator: str, which: int = 0) -> onnx.TensorProto:
    return constant_behind(model, node(model, operator, which).input[1])


def scale(model: Model, tensor: str) -> onnx.TensorProto:
    """The scale with which a tensor was dequantized."""
    makers = {output: node for node in model.graph.node for output in node.output}
    assert makers[tensor].op_type == "DequantizeLinear"
    return constant_behind(model, makers[tensor].input[1])


def change(tensor: onnx.TensorProto, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    before = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(edit(before.copy()).astype(before.dtype), tensor.name))


def wrong_weights(model: Model) -> None:
    """A column of the class capsules' weights, as large as the type allows in int8."""

    def edit(values: np.ndarray) -> np.ndarray:
        values[:, 3] = 127 if values.dtype == np.int8 else 1
        return values

    change(weight(model, "Gemm"), edit)


def a_wrong_scale(model: Model) -> None:
    """The pixels' factor, which an int8 file has in the first scale."""
    operator = "Mul" if any(node.op_type == "Mul" for node in model.graph.node) else "QuantizeLinear"
    change(weight(model, operator), lambda values: values * 2)


def a_transposed_kernel(model: Model) -> None:
    change(weight(model, "Conv"), lambda values: np.ascontiguousarray(values.swapaxes(2, 3)))


def swapped_class_names(model: Model) -> None:
    entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    contract = msgspec.json.decode(entry.value, type=Contract)
    first, second, *rest = contract.classes
    entry.value = msgspec.json.encode(msgspec.structs.replace(contract, classes=(second, first, *rest))).decode()


def swapped_class_columns(model: Model) -> None:
    """The first two classes' weights; where they are quantized their scales stay, as when a tool knows no scales."""

    def edit(values: np.ndarray) -> np.ndarray:
        width = values.shape[1] // 10
        values[:, : 2 * width] = np.roll(values[:, : 2 * width], width, axis=1)
        return values

    change(weight(model, "Gemm"), edit)


def a_nan(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[0] = np.nan
        return values

    change(weight(model, "Gemm"), edit)


def a_class_too_few(model: Model) -> None:
    change(weight(model, "Gemm"), lambda values: values[:, :-4].copy())


def a_doubled_weight_scale(model: Model) -> None:
    change(scale(model, node(model, "Conv", 1).input[1]), lambda values: values * 2)


def a_wrong_scale_of_one_channel(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[0] *= 2
        return values

    change(scale(model, node(model, "Conv").input[1]), edit)


def weights_of_8_bits(model: Model) -> None:
    """The codes of the primary capsules doubled, and their scales halved: the same numbers, in 8 bits."""
    which = node(model, "Conv", 1).input[1]
    change(constant_behind(model, which), lambda codes: np.clip(2 * codes.astype(np.int16), -127, 127))
    change(scale(model, which), lambda values: values / 2)


def a_wrong_activation_scale(model: Model) -> None:
    change(scale(model, node(model, "Gemm").input[0]), lambda values: values / 2)
