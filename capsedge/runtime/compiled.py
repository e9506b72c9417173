"""Refusing ONNX files with compiled code in them, or with the path of a file that has it."""

from pathlib import Path

from capsedge.errors import ModelError
from capsedge.onnx_lite.graph import read_graph

# com.microsoft's operator for a graph that was compiled before: TensorRT's providers load the engine in its attribute
# `ep_cache_context` (`embed_mode` 1) or in the file of that name (`embed_mode` 0).
_EP_CONTEXT = "EPContext"


def refuse_compiled(file: Path) -> None:
    """Refuse a file that brings its own engine; nothing in it is run.

    An engine is code. It runs from an `.engine` file that the user named, whose manifest has its hash.

    Args:
        file: An ONNX file.

    Raises:
        ModelError: It has such a node, in its graph, in a function or in the body of a node, or it is damaged.
    """
    graph = read_graph(file)
    if _EP_CONTEXT in graph.inner.union(node.op for node in graph.nodes):
        raise ModelError(
            f"'{file}' has a node {_EP_CONTEXT}, which loads an engine from within the file or from another one, and "
            "engines are code",
            "give the ONNX file that it was made from, or an .engine file with its manifest "
            "(capsedge export --trt makes one)",
        )
