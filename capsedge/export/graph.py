"""An ONNX graph indexed by tensor names: the base of the analyses and of the passes that rewrite a graph.

Passes take and return `onnx.ModelProto`, not onnx_ir's model: docs/decisions/0026-passes-on-protos.md.
"""

from collections.abc import Iterator, Sequence

import onnx


class NamedGraph:
    """A graph whose nodes and constants are indexed by tensor names.

    Attributes:
        nodes: Nodes in the order of the file, which is topological.
        constants: Initializers and tensors of Constant nodes, by name.
        makers: The node that produces each tensor.
        readers: The nodes that read each tensor, repeated if a node reads it several times.
        inputs: Inputs without the initializers that old files list among them.
        outputs: Names of the outputs.
    """

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.nodes = list(graph.node)
        self.constants = {constant.name: constant for constant in graph.initializer}
        self.makers: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            self.makers |= dict.fromkeys(filter(None, node.output), node)
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
            if node.op_type == "Constant":
                values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
                self.constants |= dict(zip(node.output, values, strict=False))
        self.inputs = [each for each in graph.input if each.name not in self.constants]
        self.outputs = [output.name for output in graph.output]


def named_graphs(model: onnx.ModelProto) -> Iterator[NamedGraph]:
    """Every graph of a model: the main graph, the bodies of If, Loop and Scan at any depth, and its functions.

    `constants` of an inner graph also has those of the enclosing graphs, which its nodes can name. A function cannot
    name them.
    """
    own = NamedGraph(model.graph)
    yield own
    yield from _within(own)
    for function in model.functions:
        inner = NamedGraph(onnx.GraphProto(name=function.name, node=function.node))
        yield inner
        yield from _within(inner)


def _within(outer: NamedGraph) -> Iterator[NamedGraph]:
    for node in outer.nodes:
        for attribute in node.attribute:
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                inner = NamedGraph(graph)
                own = {*inner.makers, *(each.name for each in inner.inputs)}
                around = {name: tensor for name, tensor in outer.constants.items() if name not in own}
                inner.constants = around | inner.constants
                yield inner
                yield from _within(inner)


def integer(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node, or the operator's default."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """The element type of every tensor of a graph, as in `onnx.TensorProto`; its shapes may be inconsistent."""
    shapeless = onnx.ModelProto()
    shapeless.CopyFrom(model)
    del shapeless.graph.value_info[:]
    for output in shapeless.graph.output:
        output.type.tensor_type.ClearField("shape")
    graph = onnx.shape_inference.infer_shapes(shapeless).graph
    known = [*graph.value_info, *graph.input, *graph.output]
    constants = {constant.name: constant.data_type for constant in graph.initializer}
    return constants | {value.name: value.type.tensor_type.elem_type for value in known}


def rewritten(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], constants: Sequence[onnx.TensorProto]
) -> onnx.ModelProto:
    """A model with other nodes and constants, without the inferred types and shapes of the old ones.

    Raises:
        onnx.checker.ValidationError: The nodes do not form a valid graph, a defect of the pass.
    """
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for old in (result.graph.node, result.graph.initializer, result.graph.value_info):
        del old[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(constants)
    onnx.checker.check_model(result, full_check=True)
    return result
