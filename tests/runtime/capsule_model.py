"""A small but real capsule network as an ONNX file, with a contract whose golden lengths onnx computed."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from capsedge.contract import Contract, Golden, Input, Layer, Verdict, sealed
from capsedge.fit import Fit
from capsedge.golden import pack_images
from capsedge.onnx_lite.file import read_onnx_file

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
SHAPE = (28, 28, 1)
TOLERANCE = 1e-5

_FILTERS, _TYPES, _DIM, _CLASS_DIM = 4, 2, 4, 16


def images(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Random images, uint8 [count, 28, 28, 1]."""
    return np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), np.uint8)


def evaluate(file: Path, batch: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
    """What onnx's own evaluator gives: lengths and poses."""
    lengths, poses = ReferenceEvaluator(onnx.load(file)).run(None, {"image": batch})
    return [np.asarray(lengths), np.asarray(poses)]


def graph(batch: str | int = "batch") -> onnx.ModelProto:
    """Pixels, two convolutions, squash, collapsed routing as one matrix, squash: the collapsed network in small."""
    rng = np.random.default_rng(1)
    capsules = 36 * _TYPES * _DIM

    def weight(name: str, *shape: int, scale: float) -> onnx.TensorProto:
        return numpy_helper.from_array((rng.normal(size=shape) * scale).astype(np.float32), name)

    def shape_of(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(shape, np.int64), name)

    weights = [
        numpy_helper.from_array(np.array(1 / 255, np.float32), "scale"),
        numpy_helper.from_array(np.array(1.0, np.float32), "one"),
        weight("conv1.weight", _FILTERS, 1, 9, 9, scale=0.2),
        weight("conv1.bias", _FILTERS, scale=0.1),
        weight("conv2.weight", _TYPES * _DIM, _FILTERS, 9, 9, scale=0.1),
        weight("conv2.bias", _TYPES * _DIM, scale=0.1),
        weight("classes.weight", capsules, len(CLASSES) * _CLASS_DIM, scale=0.3),
        weight("classes.bias", len(CLASSES) * _CLASS_DIM, scale=0.01),
        shape_of("primary", -1, 36 * _TYPES, _DIM),
        shape_of("flat", -1, capsules),
        shape_of("classes", -1, len(CLASSES), _CLASS_DIM),
        shape_of("last", -1),
    ]
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        node("Mul", ["pixels", "scale"], ["scaled"]),
        node("Transpose", ["scaled"], ["nchw"], perm=[0, 3, 1, 2]),
        node("Conv", ["nchw", "conv1.weight", "conv1.bias"], ["c1"], name="conv1"),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "conv2.weight", "conv2.bias"], ["c2"], name="conv2", strides=[2, 2]),
        node("Reshape", ["c2", "primary"], ["u"]),
        *_squash("u", "v"),
        node("Reshape", ["v", "flat"], ["v_flat"]),
        node("Gemm", ["v_flat", "classes.weight", "classes.bias"], ["s_flat"], name="classes"),
        node("Reshape", ["s_flat", "classes"], ["s"]),
        *_squash("s", "poses"),
        node("ReduceL2", ["poses", "last"], ["lengths"], keepdims=0),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "capsules",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, (batch, *SHAPE))],
            [
                helper.make_tensor_value_info("lengths", TensorProto.FLOAT, (batch, len(CLASSES))),
                helper.make_tensor_value_info("poses", TensorProto.FLOAT, (batch, len(CLASSES), _CLASS_DIM)),
            ],
            initializer=weights,
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.checker.check_model(model)
    return model


def save(model: onnx.ModelProto, file: Path, *, count: int = 5, labels: int = 1) -> Contract:
    """Write the model with a contract whose golden sample has `count` images of `labels` classes each."""
    onnx.save(model, file)
    read = read_onnx_file(file)
    batch = images(count)
    lengths = np.concatenate([evaluate(file, batch[index : index + 1])[0] for index in range(count)])
    longest = lengths.argsort(axis=1)[:, ::-1]
    contract = Contract(
        name="small capsules",
        classes=CLASSES,
        labels=labels,
        input=Input(*SHAPE[:2], 1),
        fit=Fit(),
        recipe="none",
        routing="l2",
        collapsed=True,
        layers=(Layer(name="conv1", op="Conv", type="fp32", output="fp32", flops=2, parameters=1),),
        verdict=Verdict(status="accepted", provider="CPUExecutionProvider", images=count),
        golden=Golden(
            images=pack_images(batch),
            labels=tuple(row[0] if labels == 1 else tuple(row) for row in longest[:, :labels].tolist()),
            lengths=tuple(tuple(map(float, row)) for row in lengths),
            tolerance=TOLERANCE,
        ),
        graph_sha256=read.graph_sha256,
        weights_sha256=read.weights_sha256,
        versions={"onnx": onnx.__version__},
        data="random pixels",
    )
    save_with(model, contract, file)
    return contract


def save_with(model: onnx.ModelProto, contract: Contract, file: Path) -> None:
    """Write the model with a contract as it is, whether it is true or not."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    helper.set_model_props(copy, sealed(contract))
    onnx.save(copy, file)


def _squash(source: str, target: str) -> list[onnx.NodeProto]:
    """Equation 1 without an epsilon: x * n / (1 + n * n)."""
    norm, square, below, factor = (f"{target}.{part}" for part in ("norm", "square", "below", "factor"))
    return [
        helper.make_node("ReduceL2", [source, "last"], [norm], keepdims=1),
        helper.make_node("Mul", [norm, norm], [square]),
        helper.make_node("Add", [square, "one"], [below]),
        helper.make_node("Div", [norm, below], [factor]),
        helper.make_node("Mul", [source, factor], [target]),
    ]
