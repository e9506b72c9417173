"""Small graphs in each precision, written by hand: a convolution and a matrix product over uint8 images."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from capsedge.contract import Contract, Golden, Input, Precision, Verdict, VerdictStatus, sealed
from capsedge.export.layers import layers_of
from capsedge.fit import Fit
from capsedge.golden import pack_images
from capsedge.onnx_lite.file import read_onnx_file

TYPES = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
STORED = {"int8": (TensorProto.INT8, 127), "fp8": (TensorProto.FLOAT8E4M3FN, 448)}  # with the largest number

# What the layers' operands are stored in, and what is computed around them.
PARTS: dict[Precision, tuple[str, str]] = {
    "fp32": ("", "fp32"),
    "fp16": ("", "fp16"),
    "bf16": ("", "bf16"),
    "int8": ("int8", "fp32"),
    "int8+fp16": ("int8", "fp16"),
    "fp8": ("fp8", "fp32"),
}


class Typed:
    """Collects the nodes and constants of a graph in one precision."""

    def __init__(self, precision: Precision) -> None:
        self.stored, kind = PARTS[precision]
        self.type = TYPES[kind]
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(0)

    def node(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [name], name=name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[np.floating] | float, kind: int) -> str:
        array = np.asarray(value).astype(helper.tensor_dtype_to_np_dtype(kind))
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def scale(self, name: str, value: float) -> list[str]:
        kind = STORED[self.stored][0]
        return [self.constant(f"{name}_scale", value, self.type), self.constant(f"{name}_zero", 0.0, kind)]

    def activation(self, name: str) -> str:
        if not self.stored:
            return name
        scale = self.scale(name, 2.0)
        quantized = self.node("QuantizeLinear", [name, *scale], f"{name}_quantized")
        return self.node("DequantizeLinear", [quantized, *scale], f"{name}_dequantized")

    def weight(self, name: str, *shape: int) -> str:
        value = self.random.normal(size=shape) * 0.1
        if not self.stored:
            return self.constant(name, value, self.type)
        kind, top = STORED[self.stored]
        scale = float(np.abs(value).max()) / top
        stored = self.constant(f"{name}_stored", np.round(value / scale) if self.stored == "int8" else value, kind)
        return self.node("DequantizeLinear", [stored, *self.scale(name, scale)], name)


def typed(precision: Precision, *, product: bool = True) -> onnx.ModelProto:
    """A graph in one precision: images, convolution, and where it is asked for a product that gives ten lengths."""
    graph = Typed(precision)
    graph.node("Cast", ["image"], "pixels", to=graph.type)
    graph.node("Transpose", ["pixels"], "nchw", perm=[0, 3, 1, 2])
    graph.node("Conv", [graph.activation("nchw"), graph.weight("conv", 4, 1, 9, 9)], "features")
    graph.node("Relu", ["features"], "positive")
    graph.constants.append(numpy_helper.from_array(np.array([-1, 4 * 20 * 20], np.int64), "flat"))
    last = graph.node("Reshape", [graph.activation("positive"), "flat"], "rows")
    if product:
        last = graph.node("Gemm", [last, graph.weight("classes", 4 * 20 * 20, 10)], "products")
    graph.node("Cast", [last], "lengths", to=TensorProto.FLOAT)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            precision,
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ("batch", 28, 28, 1))],
            [helper.make_tensor_value_info("lengths", TensorProto.FLOAT, ("batch", 10 if product else 1600))],
            initializer=graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 22)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def gated(model: onnx.ModelProto, file: Path, status: VerdictStatus | None = "accepted") -> Contract:
    """Write a model with a contract, as the gate leaves it."""
    onnx.save(model, file)
    read = read_onnx_file(file)
    contract = Contract(
        name="hand-written",
        classes=tuple("abcdefghij"),
        input=Input(28, 28, 1),
        fit=Fit(),
        recipe="none",
        routing="l2",
        collapsed=True,
        layers=layers_of(model),
        outputs=("lengths",),
        verdict=None if status is None else Verdict(status=status),
        golden=Golden(pack_images(np.zeros((1, 28, 28, 1), np.uint8)), (0,), ((0.0,) * 10,), 1e-3),
        graph_sha256=read.graph_sha256,
        weights_sha256=read.weights_sha256,
        versions={},
        data="none",
    )
    helper.set_model_props(model, sealed(contract))
    onnx.save(model, file)
    return contract
