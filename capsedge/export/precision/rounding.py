"""int8 codes of weights, each rounded so that it makes up for the rounding of those before it.

A code that is half a step off changes a layer's result by half a step times the input, and the inputs of a layer
resemble each other: neighbouring pixels, channels that are active together. So what the rounding of one weight adds,
the weights that are still to be rounded can take away. For a layer with inputs x and the weights w of one output, the
squared error of codes q with step s is (s q - w)^T H (s q - w), where H is the mean of x x^T over training images.
The weights are rounded one by one, and after each the others move to where that error is least (Hassibi and Stork
1993, "Optimal brain surgeon"; for all outputs in one order, from one Cholesky factor: Frantar et al. 2022, "GPTQ",
algorithm 1). docs/precision.md has what it brings.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import numpy_helper

from capsedge.export.layers import LAYER_OPS

_POSITIONS = 16  # of each image, at which a convolution is looked at: neighbours say much the same
_WIDEST = 2048  # inputs that make up for each other; H has as many rows and columns
_DAMPING = 0.01  # of H's mean diagonal, added to the diagonal: GPTQ's, against what few images say by chance
_CHUNK = 128  # images whose activations are in memory together


@dataclass(frozen=True)
class Codes:
    """A weight in int8.

    Attributes:
        codes: Of the weight's shape.
        scale: What a code of 1 stands for, for each output channel.
        axis: The weight's axis of output channels.
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    axis: int


def rounded(model: onnx.ModelProto, images: NDArray[np.uint8], most: int) -> dict[str, Codes]:
    """The codes of every weight that a layer of a graph multiplies with, by the weight's name.

    Args:
        model: A graph in fp32.
        images: uint8 [count, height, width, channels]; their activations are the layers' inputs.
        most: The largest code, which the largest weight of each output channel gets.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    layers = [
        _Layer(node, constants[node.input[1]])
        for node in model.graph.node
        if node.op_type in LAYER_OPS and node.input[1] in constants
    ]
    random = np.random.default_rng(0)
    for activations in _activations(model, [layer.reads for layer in layers], images):
        for layer, values in zip(layers, activations, strict=True):
            layer.look_at(values, random)
    return {layer.name: layer.codes(most) for layer in layers}


class _Layer:
    """A layer's weight, and the products of its inputs.

    A matrix product is taken for a convolution of single pixels, whose inputs are channels.

    Args:
        node: The layer.
        weight: As it stands in the graph.
    """

    def __init__(self, node: onnx.NodeProto, weight: NDArray[np.float32]) -> None:
        self.reads, self.name = node.input[:2]
        self.is_conv = node.op_type == "Conv"
        self.attributes: dict[str, Any] = {
            each.name: onnx.helper.get_attribute_value(each) for each in node.attribute
        }
        self.axis = 0 if self.is_conv or self.attributes.get("transB", 0) else 1
        self.weight = weight
        self.parts = self.attributes.get("group", 1)  # of the outputs, each with inputs of its own
        channels, kernel = self._by_output().shape[1], math.prod(weight.shape[2:])
        together = max(1, _WIDEST // kernel)
        self.blocks = [slice(start, start + together) for start in range(0, channels, together)]
        sizes = [len(range(channels)[block]) * kernel for block in self.blocks]
        self.products = [[np.zeros((size, size)) for size in sizes] for _ in range(self.parts)]

    def look_at(self, values: NDArray[np.float32], random: np.random.Generator) -> None:
        """Add the products of the inputs that the layer has in a few images."""
        patches = self._patches(values, random) if self.is_conv else values.reshape(-1, values.shape[-1])
        for part, products in zip(np.split(patches, self.parts, axis=1), self.products, strict=True):
            for number, block in enumerate(self.blocks):
                x = part[:, block].reshape(len(part), -1)
                products[number] += x.T @ x

    def codes(self, most: int) -> Codes:
        """The codes that keep the layer's results close to what they were."""
        weight = self._by_output().astype(np.float64)
        outputs = len(weight)
        largest = np.abs(weight).reshape(outputs, -1).max(axis=1)
        scale = np.where(largest > 0, largest / most, 1.0).astype(np.float32)
        steps = weight / scale.reshape(-1, *[1] * (weight.ndim - 1))
        codes = np.empty_like(steps)
        own = np.split(np.arange(outputs), self.parts)
        for rows, products in zip(own, self.products, strict=True):
            for block, product in zip(self.blocks, products, strict=True):
                flat = steps[rows, block]
                codes[rows, block] = compensated(flat.reshape(len(rows), -1), product, most).reshape(flat.shape)
        return Codes(np.moveaxis(codes, 0, self.axis).astype(np.int8), scale, self.axis)

    def _by_output(self) -> NDArray[np.float32]:
        """The weight as [outputs, channels, ...]."""
        return np.moveaxis(self.weight, self.axis, 0)

    def _patches(self, maps: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
        """What the kernel covers at a few places of each image: [places, channels, rows, columns]."""
        top, left, bottom, right = self.attributes.get("pads", (0, 0, 0, 0))
        padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.weight.shape[2:], axis=(2, 3))
        down, across = self.attributes.get("strides", (1, 1))
        windows = windows[:, :, ::down, ::across]
        count, _, rows, columns = windows.shape[:4]
        places = random.integers(rows * columns, size=(count, min(_POSITIONS, rows * columns)))
        found = windows[np.arange(count)[:, None], :, places // columns, places % columns]
        return found.reshape(-1, *found.shape[2:])


def compensated(weight: NDArray[np.float64], products: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Round weights to whole numbers, each making up for those before it.

    Args:
        weight: Of outputs that share their inputs, in steps of their scale: [outputs, inputs].
        products: H, or a multiple of it: [inputs, inputs].
        most: The largest whole number.

    Returns:
        Whole numbers of -most to most, [outputs, inputs].
    """
    energy = np.diag(products)
    damping = _DAMPING * energy.mean() or 1.0  # of a layer whose inputs are never active, nothing needs keeping
    order = np.argsort(-energy, kind="stable")  # while many others are left that can make up for it
    damped = products[np.ix_(order, order)] + damping * np.eye(len(order))
    # Row i of the factor says how the inputs after i move for an error at i.
    factor = np.linalg.cholesky(np.linalg.inv(damped)).T
    left = weight[:, order]
    codes = np.empty_like(left)
    for i, row in enumerate(factor):
        codes[:, i] = np.clip(np.rint(left[:, i]), -most, most)
        left[:, i + 1 :] -= np.outer((left[:, i] - codes[:, i]) / row[i], row[i + 1 :])
    return codes[:, np.argsort(order)]


def _activations(
    model: onnx.ModelProto, names: Sequence[str], images: NDArray[np.uint8]
) -> Iterator[list[NDArray[np.float32]]]:
    """The values of tensors of a graph, a few images at a time."""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    outputs = {output.name for output in model.graph.output}
    shown.graph.output.extend(onnx.ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in outputs)
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    for start in range(0, len(images), _CHUNK):
        yield session.run(list(names), {"image": images[start : start + _CHUNK]})
