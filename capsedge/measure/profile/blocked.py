"""The true shapes of tensors that ONNX Runtime keeps in blocks of channels.

On the CPU it lays features out in blocks of 8 or 16 channels (the domain com.microsoft.nchwc) and rounds the
channels up to whole blocks, in the features and in the reordered weights alike. The padding is no work that the
network asks for, so the true channels are taken from the file as it was written.
"""

from collections.abc import Mapping

from capsedge.measure.profile.stages import PRODUCTS
from capsedge.onnx_lite.graph import Graph, Node
from capsedge.onnx_lite.tensor import Tensor

_DOMAIN = "com.microsoft.nchwc"
_SUFFIX = "_nchwc"  # a reordered convolution is named after its result


def unpadded(tensors: Mapping[str, Tensor], ran: Graph, written: Graph) -> dict[str, Tensor]:
    """Take the padding out of the shapes of a run.

    Args:
        tensors: Type and shape of the tensors of the graph that ran, by name.
        ran: That graph.
        written: The graph of the file.

    Returns:
        All the tensors; those whose true shape cannot be told are as they were.
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
            if "channels" in node.integers:  # the true ones, also where the convolution was not found in the file
                _narrow(node.inputs[0], node.integers["channels"], true)
        else:
            _pass_on(node, tensors, true)
    return true


def _by_origin(node: Node, true: dict[str, Tensor], written: Graph) -> None:
    """Give weight, bias and result of a reordered convolution the axes that they have in the file."""
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
    """The convolution of the file that a reordered one computes, with the activation behind it that was fused."""
    index = written.maker.get(node.name.removesuffix(_SUFFIX))
    while index is not None:
        found = written.nodes[index]
        if found.op in PRODUCTS:
            return found if found.op == "Conv" else None
        makers = list(written.makers(found))
        index = makers[0] if len(set(makers)) == 1 else None
    return None


def _weight(name: str, written: Graph) -> Tensor | None:
    """An initializer, or the one that a cast or a dequantization of the file makes a weight of."""
    while name in written.maker:
        node = written.nodes[written.maker[name]]
        if node.op not in ("Cast", "DequantizeLinear"):
            return None
        name = node.inputs[0]
    return written.weights.get(name)


def _may_be(padded: tuple[int, ...], true: tuple[int, ...]) -> bool:
    """Whether padding of the first two axes can make the one shape of the other."""
    return (
        len(padded) == len(true)
        and padded[2:] == true[2:]
        and all(wide >= narrow for wide, narrow in zip(padded, true, strict=True))
    )


def _pass_on(node: Node, tensors: Mapping[str, Tensor], true: dict[str, Tensor]) -> None:
    """A node between two convolutions, such as a pooling or a sum, has as many channels behind it as before it."""
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
