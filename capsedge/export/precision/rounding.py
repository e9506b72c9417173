"""int8 codes of weights, rounded one by one so that each compensates the rounding errors before it.

A rounding error of half a step changes a layer's result by half a step times the input. The inputs of a layer are
correlated: neighbouring pixels, channels that are active together. So the weights that are not rounded yet can
compensate the error of a rounded weight. For a layer with inputs x and the weights w of one output, the
squared error of codes q with step s is (s q - w)^T H (s q - w), where H is the mean of x x^T over training images.
The weights are rounded one by one, and after each the others are set to minimize that error (Hassibi and Stork 1993,
"Optimal brain surgeon"; for all outputs in one order, from one Cholesky factor: Frantar et al. 2022, "GPTQ",
algorithm 1). The effect is in docs/precision.md.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from capsedge.export.exposed import exposing
from capsedge.export.layers import LAYER_OPS

_POSITIONS = 16  # sampled positions of a convolution in each image: neighbouring patches are similar
_WIDEST = 2048  # inputs that compensate each other, the rows and columns of H
_DAMPING = 0.01  # share of H's mean diagonal that is added to the diagonal, as in GPTQ, against sampling noise
_CHUNK = 128  # images whose activations are in memory together


@dataclass(frozen=True)
class Codes:
    """A weight in int8.

    Attributes:
        codes: The codes, in the weight's shape.
        scale: Value of one code step, for each output channel.
        axis: The weight's axis of output channels.
    """

    codes: NDArray[np.int8]
    scale: NDArray[np.float32]
    axis: int


def rounded(model: onnx.ModelProto, images: NDArray[np.uint8], most: int) -> dict[str, Codes]:
    """The codes of the weight of every layer of a graph, by the weight's name.

    Args:
        model: A graph in fp32.
        images: uint8 [count, height, width, channels], to compute the layers' inputs from.
        most: The largest code, of the largest weight of each output channel.
    """
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    layers = [
        _Layer(node, constants[node.input[1]])
        for node in model.graph.node
        if node.op_type in LAYER_OPS and node.input[1] in constants
    ]
    random = np.random.default_rng(0)
    for activations in _activations(model, [layer.input for layer in layers], images):
        for layer, values in zip(layers, activations, strict=True):
            layer.add_inputs(values, random)
    return {layer.name: layer.codes(most) for layer in layers}


class _Layer:
    """A layer's weight and the sums of products of its inputs (H).

    A matrix product is treated as a 1x1 convolution, whose inputs are channels.

    Args:
        node: The layer.
        weight: The weight in the graph's layout.
    """

    def __init__(self, node: onnx.NodeProto, weight: NDArray[np.float32]) -> None:
        self.input, self.name = node.input[:2]
        self.is_conv = node.op_type == "Conv"
        self.attributes: dict[str, Any] = {
            each.name: onnx.helper.get_attribute_value(each) for each in node.attribute
        }
        self.axis = 0 if self.is_conv or self.attributes.get("transB", 0) else 1
        self.weight = weight
        self.parts = self.attributes.get("group", 1)  # groups of outputs, each with its own inputs
        channels, kernel = self._by_output().shape[1], math.prod(weight.shape[2:])
        block_size = max(1, _WIDEST // kernel)  # channels
        self.blocks = [slice(start, start + block_size) for start in range(0, channels, block_size)]
        sizes = [len(range(channels)[block]) * kernel for block in self.blocks]
        self.products = [[np.zeros((size, size)) for size in sizes] for _ in range(self.parts)]

    def add_inputs(self, values: NDArray[np.float32], random: np.random.Generator) -> None:
        """Add the products of the layer's inputs in a few images."""
        patches = self._patches(values, random) if self.is_conv else values.reshape(-1, values.shape[-1])
        for part, products in zip(np.split(patches, self.parts, axis=1), self.products, strict=True):
            for number, block in enumerate(self.blocks):
                x = part[:, block].reshape(len(part), -1)
                products[number] += x.T @ x

    def codes(self, most: int) -> Codes:
        """The codes that keep the layer's results close to those of the fp32 weight."""
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
        """Input patches at a few random positions of each image: [patches, channels, rows, columns]."""
        top, left, bottom, right = self.attributes.get("pads", (0, 0, 0, 0))
        padded = np.pad(maps, ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.weight.shape[2:], axis=(2, 3))
        down, across = self.attributes.get("strides", (1, 1))
        windows = windows[:, :, ::down, ::across]
        count, _, rows, columns = windows.shape[:4]
        positions = random.integers(rows * columns, size=(count, min(_POSITIONS, rows * columns)))
        patches = windows[np.arange(count)[:, None], :, positions // columns, positions % columns]
        return patches.reshape(-1, *patches.shape[2:])


def compensated(weight: NDArray[np.float64], products: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Round weights to integers, each compensating the rounding errors before it.

    Args:
        weight: Weights of outputs that share their inputs, in steps of their scale: [outputs, inputs].
        products: H or a multiple of it: [inputs, inputs].
        most: The largest integer.

    Returns:
        Integers from -most to most, [outputs, inputs].
    """
    energy = np.diag(products)
    damping = _DAMPING * energy.mean() or 1.0  # 1.0: the inputs of this layer are never active
    order = np.argsort(-energy, kind="stable")  # strongest inputs first, while many weights are left to compensate
    damped = products[np.ix_(order, order)] + damping * np.eye(len(order))
    # Row i of the factor holds the changes of the weights after i for an error at i.
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
    """Yield the values of tensors of a graph, a few images at a time."""
    session = exposing(model, names, optimized=True)
    for start in range(0, len(images), _CHUNK):
        yield session.run(list(names), {"image": images[start : start + _CHUNK]})
