"""QuantizeLinear and DequantizeLinear put around the layers of a graph, where every runtime computes them in int8.

TensorRT wants zero-points of 0. ONNX Runtime makes such activations unsigned on x86, and takes its int8 kernels only
where the pairs stand as it expects them. These rules were read from the graphs that ONNX Runtime 1.31 runs, and each
was timed (docs/precision.md):

1. A layer reads a pair, and a convolution's result gets one. The result of a product without a bias gets none: QGemm
   gives it in fp32.
2. Where two maps are added, both and their sum have one (QLinearAdd).
3. A ReLU whose result one layer reads stands between pairs, as LeakyRelu of slope 0: for that there is an int8
   kernel, and for Relu there is none.
4. Of a tensor that several layers read, each has a pair of its own. One with two readers stays signed, and a layer
   between signed and unsigned numbers is computed in fp32. What tells the pairs apart, so that they are not merged,
   is the attribute `axis`, which says nothing where there is a single scale.
5. The factor of the image is left to the scales: what is quantized is the image as it was given.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from capsedge.export.graph import NamedGraph, rewritten
from capsedge.export.layers import LAYER_OPS
from capsedge.export.precision.rounding import Codes

_MOST = 127  # of an activation's codes
_ZERO = "zero_point"  # of all activations
_AXES = (1, 0, 2, 3)  # of one tensor's pairs; 1 is what it is where nothing is said


def with_pairs(model: onnx.ModelProto, ranges: Mapping[str, float], weights: Mapping[str, Codes]) -> onnx.ModelProto:
    """Quantize the layers that have weights, and what lies between them.

    Args:
        model: A graph in fp32.
        ranges: The largest magnitude of each tensor that a layer reads or gives, and of the sums between them.
        weights: The codes of each layer's weight, by its name.
    """
    graph = _QuantizedGraph(model, ranges, weights)
    for node in graph.nodes:
        graph.add(node)
    read = {name for node in graph.written for name in node.input}
    return rewritten(model, graph.written, [each for each in graph.constants.values() if each.name in read])


class _QuantizedGraph(NamedGraph):
    """A graph that is written anew, node by node, each with its pairs.

    Attributes:
        written: The new nodes.
        constants: Those of the graph and of the pairs, by their names.
    """

    def __init__(self, model: onnx.ModelProto, ranges: Mapping[str, float], weights: Mapping[str, Codes]) -> None:
        super().__init__(model.graph)
        self.written: list[onnx.NodeProto] = []
        self._ranges = ranges
        self._weights = weights
        self._read_as: dict[str, str] = {}  # tensors that have one pair for all readers, and what these read
        self._pairs: dict[str, int] = {}  # how many pairs there are of a tensor whose readers each have one

    def add(self, node: onnx.NodeProto) -> None:
        """Write a node, the pairs that it reads, and that of its result."""
        (result, *_) = node.output
        if self._image(result):
            return  # the layer's pair does it
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
        """Whether a node adds to a convolution's result another one, or what another layer reads."""
        return (
            node.op_type == "Add"
            and all(name in self._ranges for name in (*node.input, *node.output))
            and any(self.makers[name].op_type == "Conv" for name in self._read_as.keys() & set(node.input))
        )

    def _feeds_one_layer(self, name: str) -> bool:
        readers = self.readers.get(name, [])
        return len(readers) == 1 and self._is_layer(readers[0]) and name not in self.outputs

    def _image(self, name: str) -> str:
        """The image, its axes in order, where the tensor is a multiple of it that one layer reads; "" elsewhere."""
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
        """Write the pair that is for one reader of a tensor; gives the name of what it reads."""
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
        """Write a pair; gives the name of its result.

        Args:
            name: The tensor that the result stands for.
            label: What the nodes are named after.
            axis: Tells pairs of one tensor apart.
            source: What is quantized; "" for the tensor itself.
            scale: Of the quantization; "" for the tensor's own.
            result: What the result is named; "" for a name after the label.
        """
        own, zero = self._constant(f"{name}_scale", self._scale(name)), self._constant(_ZERO, np.zeros((), np.int8))
        told = None if axis == _AXES[0] else axis
        codes = self._node("QuantizeLinear", [source or name, scale or own, zero], label, axis=told)
        return self._node("DequantizeLinear", [codes, own, zero], label, result=result)

    def _weight(self, layer: onnx.NodeProto) -> str:
        """Write a layer's weight as codes, and how they are dequantized; gives the name of the result."""
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
