"""Rules for what TensorRT refuses or silently computes differently in an ONNX graph; they need no TensorRT.

Each rule comes from the parser and the builder of TensorRT-RTX 1.7.1, and a test checks it there again:

1. QOperator format (QLinearConv, ConvInteger ...): the parser does not support these operators.
2. DequantizeLinear of an int32 tensor, as ONNX Runtime writes a quantized bias.
3. Quantization to 16 bits.
4. A zero-point that is not 0.
5. uint8 with a zero-point of 0: accepted, with a warning unless the zero-point is omitted, and computed in int8, so
   values above 127 are lost.
6. A uint8 input that another operator than Cast reads, such as a Transpose before the Cast.
7. A fixed batch: the engine runs only that batch.
8. A type that a target cannot compute (`capsedge.runtime.tensorrt.targets`).
9. A layer that is not quantized in a quantized file: it is not accelerated.

Rules 1 to 6 also apply to the bodies of If, Loop and Scan and to the file's functions.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
import numpy as np
import onnx
from onnx.external_data_helper import uses_external_data

from capsedge.contract import Layer
from capsedge.export.graph import NamedGraph, integer, named_graphs
from capsedge.export.layers import NO_LAYERS, layers_of
from capsedge.runtime.tensorrt.targets import listed, takes, unable

Severity = Literal["refused", "unchecked", "warning", "note"]

_T = onnx.TensorProto
QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")

_QOPERATORS = {"QGemm", "QAttention", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"}
_SYMMETRIC = "quantize symmetrically to int8 (QInt8, ActivationSymmetric, WeightSymmetric), in QDQ format"


class LintFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about one node.

    Attributes:
        node: Name of the node, or of its first output if it has none.
        operator: The node's operator; "" for the graph, its inputs and its weights.
        severity: `refused` prevents an engine or makes it wrong; `unchecked` could not be checked against the
            targets; `warning` limits the engine; `note` is information.
        reason: The problem, as one clause.
        advice: The remedy.
        source: `rules`, or the parser and its release.
    """

    node: str
    operator: str
    severity: Severity
    reason: str
    advice: str
    source: str = "rules"


def apply_rules(
    model: onnx.ModelProto, targets: Sequence[str] = (), package: str = "tensorrt_rtx"
) -> list[LintFinding]:
    """Apply all rules to a graph.

    Args:
        model: A model from any tool.
        targets: GPUs that it must run on, such as `sm86`.
        package: `tensorrt_rtx` or `tensorrt`, which differ in the types that a target computes.
    """
    found = [finding for graph in named_graphs(model) for rule in _RULES for finding in rule(graph)]
    found += _batches(NamedGraph(model.graph))
    layers: Sequence[Layer] = ()
    try:
        layers = layers_of(model)
    except Exception as error:  # a model from another tool, whose types are unknown
        only_onnx = all(node.domain in ("", "ai.onnx") for node in model.graph.node)
        if not (only_onnx and getattr(error, "code", "") == NO_LAYERS):
            reason = f"its types cannot be inferred ({' '.join(str(error).split())[:120]})"
            advice = "the layers' types were not checked against the targets"
            found.append(_of_graph("unchecked" if targets else "note", reason, advice))
    return [*found, *_types(layers, targets, package), *_left_out(layers)]


def node_name(node: onnx.NodeProto, position: int) -> str:
    """A node's name, or its first output's if it has none."""
    return node.name or next(iter(node.output), "") or f"node {position}"


def _quantizers(graph: NamedGraph) -> Iterator[tuple[onnx.NodeProto, onnx.TensorProto | None]]:
    """Every QuantizeLinear and DequantizeLinear, with its zero-point if that is a constant of the graph."""
    for node in graph.nodes:
        if node.op_type in QUANTIZERS:
            yield node, graph.constants.get(node.input[2]) if len(node.input) > 2 else None


def _of(node: onnx.NodeProto, severity: Severity, reason: str, advice: str) -> LintFinding:
    return LintFinding(
        node=node_name(node, -1), operator=node.op_type, severity=severity, reason=reason, advice=advice
    )


def _of_graph(severity: Severity, reason: str, advice: str) -> LintFinding:
    return LintFinding(node="(the graph)", operator="", severity=severity, reason=reason, advice=advice)


def _qoperators(graph: NamedGraph) -> Iterator[LintFinding]:
    for node in graph.nodes:
        if node.op_type.startswith("QLinear") or node.op_type in _QOPERATORS:
            reason = (
                "TensorRT has no quantized operators: it supports only pairs of QuantizeLinear and DequantizeLinear"
            )
            yield _of(node, "refused", reason, "quantize in QDQ format, statically")


def _wide_integers(graph: NamedGraph) -> Iterator[LintFinding]:
    for node, zero in _quantizers(graph):
        stored = graph.constants.get(node.input[0])
        if node.op_type == "DequantizeLinear" and stored is not None and stored.data_type == _T.INT32:
            reason = "it dequantizes int32, such as a quantized bias, but TensorRT requires int8"
            yield _of(node, "refused", reason, "leave biases unquantized (QuantizeBias: False)")
        elif zero is not None and zero.data_type in (_T.INT16, _T.UINT16):
            yield _of(node, "refused", "it quantizes to 16 bits, which TensorRT does not have", _SYMMETRIC)


def _zero_points(graph: NamedGraph) -> Iterator[LintFinding]:
    for node, zero in _quantizers(graph):
        if zero is not None and _is_shifted(zero):
            yield _of(
                node,
                "refused",
                "its zero-point is not 0, but TensorRT supports only symmetric quantization",
                _SYMMETRIC,
            )
        elif _is_uint8(node, zero):
            reason = "it quantizes to uint8, which TensorRT accepts and computes in int8: values above 127 are lost"
            yield _of(node, "refused", reason, _SYMMETRIC)


def _is_shifted(zero: onnx.TensorProto) -> bool:
    """Whether a zero-point of 8 bits is not 0; False if its value is external and was not loaded (`lint`)."""
    known = zero.data_type in (_T.INT8, _T.UINT8) and not uses_external_data(zero)
    return known and bool(np.any(onnx.numpy_helper.to_array(zero)))


def _is_uint8(node: onnx.NodeProto, zero: onnx.TensorProto | None) -> bool:
    """Whether a node quantizes to uint8, which is also the default of QuantizeLinear."""
    if zero is not None:
        return zero.data_type == _T.UINT8
    untyped = node.op_type == "QuantizeLinear" and not any(node.input[2:])
    return untyped and integer(node, "output_dtype", 0) in (0, _T.UINT8)


def _uint8_inputs(graph: NamedGraph) -> Iterator[LintFinding]:
    bytes_read = {each.name for each in graph.inputs if each.type.tensor_type.elem_type == _T.UINT8}
    for node in graph.nodes:
        read = bytes_read.intersection(node.input)
        if read and node.op_type not in ("Cast", "Shape"):
            reason = f"it reads the uint8 input '{min(read)}', which only Cast may read in TensorRT"
            yield _of(node, "refused", reason, f"cast to a float type before {node.op_type}")


def _batches(graph: NamedGraph) -> Iterator[LintFinding]:
    for tensor in graph.inputs:
        axes = tensor.type.tensor_type.shape.dim
        if axes and axes[0].HasField("dim_value"):
            yield LintFinding(
                node=tensor.name,
                operator="",
                severity="warning",
                reason=f"the batch of this input is fixed: the engine runs only batches of {axes[0].dim_value}",
                advice="export it with a free first axis (dynamic_shapes)",
            )


_RULES: tuple[Callable[[NamedGraph], Iterable[LintFinding]], ...] = (
    _qoperators,
    _wide_integers,
    _zero_points,
    _uint8_inputs,
)


def _types(layers: Sequence[Layer], targets: Sequence[str], package: str) -> Iterator[LintFinding]:
    for target in targets:
        for layer in layers:
            if why := unable([layer], target, package):
                yield _of_layer(layer, "refused", why, f"for {target}, use {listed(takes(target, package))}")


def _left_out(layers: Sequence[Layer]) -> Iterator[LintFinding]:
    narrow = {layer.type for layer in layers} & {"int8", "fp8"}
    for layer in layers:
        if narrow and layer.parameters and layer.type not in narrow:
            reason = f"it computes in {layer.type} in a file that is quantized to {min(narrow)}"
            yield _of_layer(layer, "note", reason, f"quantize {layer.op} too, if the error allows it")


def _of_layer(layer: Layer, severity: Severity, reason: str, advice: str) -> LintFinding:
    return LintFinding(node=layer.name, operator=layer.op, severity=severity, reason=reason, advice=advice)
