"""Running a graph with its intermediate tensors as outputs."""

from collections.abc import Iterable
from typing import Any

import onnx

from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.providers import CPU


def exposing(model: onnx.ModelProto, names: Iterable[str], *, optimized: bool) -> Any:
    """Open a graph in ONNX Runtime on the CPU, with more of its tensors as outputs.

    Args:
        model: The graph.
        names: The tensors.
        optimized: Whether ONNX Runtime may change the graph; if not, each node computes what the file says.

    Returns:
        An `InferenceSession`.
    """
    ort = load_onnxruntime("cpu")
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    outputs = {output.name for output in model.graph.output}
    new = dict.fromkeys(name for name in names if name not in outputs)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in new)
    return ort.InferenceSession(exposed.SerializeToString(), options, providers=[CPU])
