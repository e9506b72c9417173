"""The unpadded shapes of tensors that ONNX Runtime stores in blocks of channels.

On the CPU it stores features in blocks of 8 or 16 channels (the domain com.microsoft.nchwc) and pads the channels to
whole blocks, in the features and in the reordered weights. The padding is not part of the network's work, so the
number of channels is taken from the original file.
"""

from collections.abc import Mapping

from capsedge.measure.profile.stages import PRODUCTS
from capsedge.onnx_lite.graph import Graph, Node
from capsedge.onnx_lite.tensor import Tensor

_DOMAIN = "com.microsoft.nchwc"
_SUFFIX = "_nchwc"  # a reordered convolution is named after its output


def unpadded(tensors: Mapping[str, Tensor], ran: Graph, written: Graph) -> dict[str, Tensor]:
    """Remove the padding from the shapes of a run.

    Args:
        tensors: Type and shape of the tensors of the optimized graph, by name.
        ran: The optimized graph that ran.
        written: The graph of the file.

    Returns:
        All the tensors; those whose unpadded shape is not known are unchanged.
    """
    true = dict(tensors)
    for node in ran.nodes:
        blocked = node.op if node.domain == _DOMAIN else ""
        if blocked == "Conv":
            _by_origin(node, true, written)
        elif blocked == "ReorderInput" and node.inputs[0] in true:
            channels = -1 if node.integers.get("channels_last") else 1
            _narrow(node.outputs[0], true[node.inputs[0]].shape[channels], true)
        elif blocked == "ReorderOutput":
            if "channels" in node.integers:  # unpadded, also where the convolution was not found in the file
                _narrow(node.inputs[0], node.integers["channels"], true)
        else:
            _pass_on(node, tensors, true)
    return true


def _by_origin(node: Node, true: dict[str, Tensor], written: Graph) -> None:
    """Give weight, bias and output of a reordered convolution their shapes in the file."""
    origin = _origin(node, written)
    if origin is None:
        return
    for name, its in zip(node.inputs[1:3], origin.inputs[1:3], strict=False):
        weight = _weight(its, written)
        if weight is not None and name in true and _may_be(true[name].shape, weight.shape):
            true[name] = Tensor(true[name].kind, weight.shape)
    weight = _weight(origin.inputs[1], written)
    if weight is not None:
        _narrow(node.outputs[0], weight.shape[0], true)


def _origin(node: Node, written: Graph) -> Node | None:
    """The convolution of the file behind a reordered one, which may include a fused activation."""
    index = written.maker.get(node.name.removesuffix(_SUFFIX))
    while index is not None:
        found = written.nodes[index]
        if found.op in PRODUCTS:
            return found if found.op == "Conv" else None
        makers = list(written.makers(found))
        index = makers[0] if len(set(makers)) == 1 else None
    return None


def _weight(name: str, written: Graph) -> Tensor | None:
    """An initializer of the file, given by its own name or as the output of a Cast or DequantizeLinear."""
    while name in written.maker:
        node = written.nodes[written.maker[name]]
        if node.op not in ("Cast", "DequantizeLinear"):
            return None
        name = node.inputs[0]
    return written.weights.get(name)


def _may_be(padded: tuple[int, ...], true: tuple[int, ...]) -> bool:
    """Whether padding the first two axes can turn the true shape into the padded one."""
    return (
        len(padded) == len(true)
        and padded[2:] == true[2:]
        and all(wide >= narrow for wide, narrow in zip(padded, true, strict=True))
    )


def _pass_on(node: Node, tensors: Mapping[str, Tensor], true: dict[str, Tensor]) -> None:
    """Propagate unpadded channels through a node that keeps their number, such as a pooling or a sum."""
    for name in node.inputs:
        if name not in true or true[name] == tensors[name] or len(true[name].shape) < 2:
            continue
        for made in node.outputs:
            if made in tensors and tensors[made].shape[1:2] == tensors[name].shape[1:2]:
                _narrow(made, true[name].shape[1], true)


def _narrow(name: str, channels: int, true: dict[str, Tensor]) -> None:
    if name in true and len(true[name].shape) > 1 and channels <= true[name].shape[1]:
        kind, (batch, _, *sides) = true[name]
        true[name] = Tensor(kind, (batch, channels, *sides))
