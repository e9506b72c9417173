"""int8 and fp8 graphs: scales against the network's activations, codes against float64, the choice of method."""

from collections.abc import Callable
from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from capsedge.contract import Calibration
from capsedge.data import Dataset, Split, load_dataset
from capsedge.errors import WrongUse
from capsedge.export.collapse import collapse
from capsedge.export.layers import layers_of
from capsedge.export.precision import TypedGraphs, calibration_images
from capsedge.export.precision import quantize as module
from capsedge.export.precision.quantize import METHODS, Quantized, quantized
from tests.export.graphs import graph_of, random_network

Images = NDArray[np.uint8]
Run = Callable[[onnx.ModelProto, Images], NDArray[np.float32]]


def first_wins(*_: object) -> tuple[float, float]:
    return 0.0, 0.0


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}


@pytest.fixture(scope="module")
def int8(graph: onnx.ModelProto, images: Images) -> Quantized:
    return quantized(graph, images, first_wins, METHODS[:1])


def test_the_file_is_what_tensorrt_takes(int8: Quantized) -> None:
    """Symmetric int8, no quantized bias: its parser refuses an int32 bias, and a zero-point that is not 0."""
    values = constants(int8.model)
    pairs = [node for node in int8.model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
    assert len(pairs) >= 13
    for node in pairs:
        assert values[node.input[2]].dtype == np.int8
        assert not values[node.input[2]].any()
    kinds = {constant.data_type for constant in int8.model.graph.initializer}
    assert kinds <= {TensorProto.FLOAT, TensorProto.INT8, TensorProto.INT64}
    assert {node.op_type for node in int8.model.graph.node}.isdisjoint({"QLinearConv", "QGemm", "QLinearMatMul"})


@pytest.mark.parametrize(("bits", "most"), [(7, 64), (8, 127)])
def test_weights_have_a_scale_for_each_channel_and_codes_that_use_it_up(
    bits: Literal[7, 8], most: int, graph: onnx.ModelProto, images: Images
) -> None:
    made = quantized(graph, images, first_wins, METHODS[:1], weight_bits=bits)
    before, after = constants(graph), constants(made.model)
    for name, axis in (("capsules.stem.conv.weight", 0), ("capsules.primary.weight", 0), ("capsules.weight", 1)):
        weight = np.moveaxis(before[name].astype(np.float64), axis, 0).reshape(before[name].shape[axis], -1)
        codes = np.moveaxis(after[f"{name}_quantized"].astype(np.float64), axis, 0).reshape(weight.shape)
        scale = after[f"{name}_scale"].astype(np.float64)[:, np.newaxis]
        np.testing.assert_allclose(scale[:, 0], np.abs(weight).max(1) / most, rtol=1e-6)
        assert np.abs(codes).max() == most
        # Codes make up for each other, so single ones are not the nearest (test_rounding).
        assert np.abs(codes * scale - weight).mean() < scale.max()


def test_min_max_scales_are_the_largest_activations_that_the_network_itself_has(
    int8: Quantized, images: Images
) -> None:
    assert int8.calibration == Calibration("min-max", 40)
    static = collapse(random_network())
    seen: dict[str, float] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(_module: object, _inputs: object, output: torch.Tensor) -> None:
            seen[name] = float(output.abs().max())

        return hook

    static.stem.register_forward_hook(note("relu"))
    static.primary.register_forward_hook(note("conv2d_1"))
    static.hidden.register_forward_hook(note("view"))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        static(pixels)
    seen["mul_4"] = float(pixels.max())
    scales = constants(int8.model)
    for name, largest in seen.items():
        assert scales[f"{name}_scale"] == pytest.approx(largest / 127, rel=1e-4)
    # What is negative before the ReLU need not be told apart: both sides of it have one range.
    assert scales["conv2d_scale"] == scales["relu_scale"]


def test_the_method_with_the_lowest_error_is_taken_and_the_closer_of_two_that_err_alike(
    graph: onnx.ModelProto, images: Images
) -> None:
    errors = iter([(0.2, 0.1), (0.1, 0.3), (0.1, 0.2), (0.3, 0.0), (0.1, 0.25)])
    chosen = quantized(graph, images, lambda *_: next(errors))
    assert chosen.calibration == Calibration(METHODS[2].name, 40)
    assert next(errors, None) is None


def test_the_methods_find_different_ranges(graph: onnx.ModelProto, images: Images) -> None:
    patches = images[2:]  # the white image alone has many numbers of one size
    found = [module._ranges(graph, patches, method)["conv2d_1"] for method in METHODS]
    assert METHODS[0].name == "min-max"
    assert all(largest <= found[0] * (1 + 1e-6) for largest in found)
    assert found[1] < found[2] <= found[3]  # percentiles 99.9, 99.99 and 99.999
    assert len(set(found)) >= 3


def test_a_layer_that_is_never_active_has_a_scale_that_can_be_divided_by(images: Images, run: Run) -> None:
    network = random_network()
    with torch.no_grad():
        network.get_parameter("stem.conv.weight").zero_()
        network.get_parameter("stem.conv.bias").fill_(-1.0)
    graph = graph_of(network)
    lengths = run(quantized(graph, images[:4], first_wins, METHODS[:1]).model, images[:2])
    np.testing.assert_allclose(lengths, run(graph, images[:2]), atol=0.01)


def test_what_is_routed_for_each_image_stays_in_fp32(images: Images) -> None:
    layers = layers_of(quantized(graph_of(random_network("dynamic")), images[:2], first_wins, METHODS[:1]).model)
    assert {layer.type for layer in layers if layer.op == "Conv"} == {"int8"}
    assert {layer.type for layer in layers if layer.parameters == 0} == {"fp32"}


def test_calibration_sees_training_images_only() -> None:
    dataset = load_dataset("fashion-mnist-subset")
    images = calibration_images(dataset)
    assert len(images) == 512
    assert isinstance(dataset.train, Split)
    train = {image.tobytes() for image in dataset.train.images}
    held_out = {image.tobytes() for split in (dataset.validation, dataset.test) for image in split.images}
    seen = {image.tobytes() for image in images}
    assert seen <= train
    assert not seen & (held_out - train)


def test_too_few_training_images_are_refused() -> None:
    full = load_dataset("fashion-mnist-subset")
    few = Dataset(**{**vars(full), "train": full.train.spread(99)})
    with pytest.raises(
        WrongUse, match=r"at least 100 training images for calibration, and 99 were found: .* --precision fp32"
    ):
        calibration_images(few)
    with pytest.raises(WrongUse, match="and 60 were requested"):
        calibration_images(full, 60)
    assert len(calibration_images(full, 100)) == 100


def test_fp8_codes_are_the_nearest_numbers_of_e4m3_with_the_activations_ranges_of_int8(
    int8: Quantized, graph: onnx.ModelProto, images: Images, run: Run
) -> None:
    fp8 = TypedGraphs(graph, lambda: images, first_wins, METHODS[:1]).make("fp8")
    assert fp8.calibration == int8.calibration
    assert {(layer.type, layer.output) for layer in layers_of(fp8.model)} == {("fp8", "fp32")}
    before, of_int8, after = constants(graph), constants(int8.model), constants(fp8.model)
    for name in ("conv2d_1", "view", "mul_4", "mul_4_image"):
        assert after[f"{name}_scale"] * 448 == pytest.approx(of_int8[f"{name}_scale"] * 127, rel=1e-6)
    numbers = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float64)
    numbers = np.unique(numbers[np.isfinite(numbers)])
    assert numbers.max() == 448
    for name, axis in (("capsules.primary.weight", 0), ("capsules.weight", 1)):
        scale = after[f"{name}_scale"].astype(np.float64)
        weight = np.moveaxis(before[name].astype(np.float64), axis, 0).reshape(len(scale), -1)
        np.testing.assert_allclose(scale * 448, np.abs(weight).max(1), rtol=1e-6)
        weight = weight[:, :50]
        codes = np.moveaxis(after[f"{name}_quantized"].astype(np.float64), axis, 0).reshape(len(scale), -1)[:, :50]
        wanted = weight / scale[:, np.newaxis]
        nearest = np.abs(wanted[..., np.newaxis] - numbers).min(-1)
        np.testing.assert_allclose(np.abs(codes - wanted), nearest, rtol=1e-3, atol=1e-4)
