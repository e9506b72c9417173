"""Insertion of QuantizeLinear and DequantizeLinear pairs around the layers of a graph, so that runtimes use int8.

TensorRT requires zero-points of 0. ONNX Runtime converts such activations to unsigned on x86, and uses its int8
kernels only where it finds the pairs that it expects. These rules were derived from the graphs that ONNX Runtime 1.31
runs, and the effect of each was timed (docs/precision.md):

1. The input of a layer has a pair, and so has the result of a convolution. The result of a product without a bias has
   none: QGemm returns it in fp32.
2. If two feature maps are added, both and their sum have a pair (QLinearAdd).
3. A ReLU whose result one layer reads has pairs on both sides and is replaced by LeakyRelu of slope 0, which has an
   int8 kernel; Relu has none.
4. Each layer that reads the same tensor has its own pair. A pair with two readers would stay signed, and a layer
   between signed and unsigned values is computed in fp32. Different values of the attribute `axis`, which has no
   effect with a single scale, keep the pairs from being merged.
5. The factor of the image is folded into the scales: the raw image is quantized.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from capsedge.export.graph import NamedGraph, rewritten
from capsedge.export.layers import LAYER_OPS
from capsedge.export.precision.rounding import Codes

_MOST = 127  # largest code of an activation
_ZERO = "zero_point"  # shared by all activations
_AXES = (1, 0, 2, 3)  # attribute `axis` of the pairs of one tensor; 1 is the default


def with_pairs(model: onnx.ModelProto, ranges: Mapping[str, float], weights: Mapping[str, Codes]) -> onnx.ModelProto:
    """Quantize the layers that have weights, and the operators between them.

    Args:
        model: A graph in fp32.
        ranges: The largest magnitude of each input and output of a layer, and of the sums between layers.
        weights: The codes of each layer's weight, by name.
    """
    graph = _QuantizedGraph(model, ranges, weights)
    for node in graph.nodes:
        graph.add(node)
    read = {name for node in graph.written for name in node.input}
    return rewritten(model, graph.written, [each for each in graph.constants.values() if each.name in read])


class _QuantizedGraph(NamedGraph):
    """A graph that is rewritten node by node with its pairs.

    Attributes:
        written: The new nodes.
        constants: Constants of the graph and of the pairs, by name.
    """

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, float], weights: Mapping[str, Codes]) -> None:
        super().__init__(model.graph)
        self.written: list[onnx.NodeProto] = []
        self._ranges = ranges
        self._weights = weights
        self._read_as: dict[str, str] = {}  # from tensors with one shared pair to the pair's result
        self._pairs: dict[str, int] = {}  # number of pairs of each tensor with one pair for each reader

    def add(self, node: onnx.NodeProto) -> None:
        """Write a node, the pairs of its inputs and the pair of its result."""
        (result, *_) = node.output
        if self._image(result):
            return  # folded into the scale of the layer's pair
        typed = onnx.NodeProto()
        typed.CopyFrom(node)
        layer, added = self._is_layer(node), self._is_sum(node)
        for place, name in enumerate(node.input):
            if name in self._read_as:
                typed.input[place] = self._read_as[name]
            elif added or (layer and place == 0):
                typed.input[place] = self._pair_for(node, name)
        if layer:
            typed.input[1] = self._weight(node)
        if node.op_type == "Relu" and node.input[0] in self._read_as and self._feeds_one_layer(result):
            typed.op_type = "LeakyRelu"
            typed.attribute.append(helper.make_attribute("alpha", 0.0))
        self.written.append(typed)
        if result not in self.outputs and (added or (layer and (node.op_type == "Conv" or len(node.input) > 2))):
            self._read_as[result] = self._pair(result, label=result)

    def _is_layer(self, node: onnx.NodeProto) -> bool:
        return node.op_type in LAYER_OPS and node.input[1] in self._weights

    def _is_sum(self, node: onnx.NodeProto) -> bool:
        """Whether a node adds to a convolution's result another one, or another layer's input."""
        return (
            node.op_type == "Add"
            and all(name in self._ranges for name in (*node.input, *node.output))
            and any(self.makers[name].op_type == "Conv" for name in self._read_as.keys() & set(node.input))
        )

    def _feeds_one_layer(self, name: str) -> bool:
        readers = self.readers.get(name, [])
        return len(readers) == 1 and self._is_layer(readers[0]) and name not in self.outputs

    def _image(self, name: str) -> str:
        """The name of the transposed image if the tensor is a multiple of it that one layer reads; otherwise ""."""
        node = self.makers.get(name)
        if node is None or node.op_type != "Mul" or not self._feeds_one_layer(name):
            return ""
        image, factor = node.input
        maker = self.makers.get(image)
        while maker is not None and maker.op_type == "Transpose":
            maker = self.makers.get(maker.input[0])
        scalar = factor in self.constants and not self.constants[factor].dims
        return image if scalar and maker is not None and maker.op_type == "Cast" else ""

    def _pair_for(self, node: onnx.NodeProto, name: str) -> str:
        """Write a pair for one reader of a tensor; returns the name of the pair's result."""
        if image := self._image(name):
            factor = numpy_helper.to_array(self.constants[self.makers[name].input[1]])
            scale = self._constant(f"{name}_image_scale", self._scale(name) / factor)
            return self._pair(name, label=name, source=image, scale=scale, result=name)
        count = self._pairs[name] = self._pairs.get(name, 0) + 1
        label = name if count == 1 else f"{name}_for_{node.output[0]}"
        return self._pair(name, label=label, axis=_AXES[(count - 1) % len(_AXES)])

    def _pair(
        self, name: str, *, label: str, axis: int = _AXES[0], source: str = "", scale: str = "", result: str = ""
    ) -> str:
        """Write a pair; returns the name of its result.

        Args:
            name: The tensor that the result replaces.
            label: Prefix of the nodes' names.
            axis: Attribute that keeps pairs of one tensor apart.
            source: Tensor to quantize; "" for `name`.
            scale: Scale of the quantization; "" for the tensor's own.
            result: Name of the result; "" for a name made from the label.
        """
        own, zero = self._constant(f"{name}_scale", self._scale(name)), self._constant(_ZERO, np.zeros((), np.int8))
        written_axis = None if axis == _AXES[0] else axis
        codes = self._node("QuantizeLinear", [source or name, scale or own, zero], label, axis=written_axis)
        return self._node("DequantizeLinear", [codes, own, zero], label, result=result)

    def _weight(self, layer: onnx.NodeProto) -> str:
        """Write a layer's weight as codes with their DequantizeLinear; returns the name of the result."""
        name = layer.input[1]
        weight = self._weights[name]
        codes = self._constant(f"{name}_quantized", weight.codes)
        scale = self._constant(f"{name}_scale", weight.scale)
        zero = self._constant(f"{name}_zero_point", np.zeros(weight.scale.size, np.int8))
        return self._node("DequantizeLinear", [codes, scale, zero], name, axis=weight.axis)

    def _scale(self, name: str) -> NDArray[np.float32]:
        return np.array(self._ranges[name] / _MOST or 1.0, np.float32)

    def _constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.constants[name] = numpy_helper.from_array(values, name)
        return name

    def _node(self, op: str, inputs: list[str], label: str, *, result: str = "", axis: int | None = None) -> str:
        result = result or f"{label}_{op}_Output"
        self.written.append(helper.make_node(op, inputs, [result], name=f"{label}_{op}", axis=axis))
        return result
