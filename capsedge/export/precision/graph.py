"""What the passes over a graph have in common: its types, and a new content for it."""

from collections.abc import Sequence

import onnx


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor of a graph, as in `onnx.TensorProto`; its shapes need not fit each other."""
    shapeless = onnx.ModelProto()
    shapeless.CopyFrom(model)
    del shapeless.graph.value_info[:]
    for output in shapeless.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(shapeless).graph
    known = [*graph.value_info, *graph.input, *graph.output]
    constants = {constant.name: constant.data_type for constant in graph.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in known}


def replace_graph(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]
) -> None:
    """Give a model other nodes and constants; what was inferred of the old ones is forgotten."""
    for old in (model.graph.node, model.graph.initializer, model.graph.value_info):
        del old[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
