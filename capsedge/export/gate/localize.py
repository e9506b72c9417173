"""Where a rejected file's difference starts: its intermediate results, held against those of the network's own graph.

What is compared has the same name in both graphs: the passes behind capsedge export keep the names of tensors and
put casts, QuantizeLinear and DequantizeLinear after them.
"""

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.export.gate.intermediate import STAND_INS, Difference, TracedGraph, differences
from capsedge.export.gate.tolerance import TOLERANCES, Tolerance
from capsedge.export.layers import LAYER_OPS
from capsedge.export.precision import emulated, emulated_types

UNTRACEABLE = "cannot be traced"
NOWHERE = "no node: "

# A square doubles a relative difference, and what is rounded adds to it; a fault multiplies it.
JUMP = 3


class NodeDifference(msgspec.Struct, frozen=True, kw_only=True):
    """How far a node's output is from the network's: ||file - network|| / ||network||, over all traced images.

    Attributes:
        node: The node's operator and name in the file.
        tensor: Its output, whose name both graphs have.
        difference: Of the output; None where it is NaN, infinite or of another shape.
        read: The largest of the output after casts and quantization, as the next nodes read it; None as above.
    """

    node: str
    tensor: str
    difference: float | None
    read: float | None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a difference starts.

    Attributes:
        starts_at: The node, in words; or that there is none; or that it cannot be traced, and why.
        images: How many images were traced.
        nodes: Every output that both graphs have, in the order of the network's graph.
    """

    starts_at: str
    images: int
    nodes: tuple[NodeDifference, ...] = ()


def localize(
    network_model: onnx.ModelProto, file_model: onnx.ModelProto, images: NDArray[np.uint8], tolerance: Tolerance
) -> Trace:
    """Name the node where a file starts to differ from the network.

    That is the first node, in the order of the network's graph, whose output differs by more than `Tolerance.node`
    and by `JUMP` times what it computes from; or the cast or the quantization just before it, where that is wrong.
    Where there is none it is the node that adds most to the difference.

    Args:
        network_model: The network's own graph, freshly exported: in fp32, or in the file's precision.
        file_model: The rejected file. What ONNX Runtime's CPU provider has not, such as bf16, is emulated.
        images: A few images, some of which differ: uint8 [images, height, width, channels].
        tolerance: The limits of the file's precision.
    """
    try:
        wanted, given = TracedGraph(_as_it_would_run(network_model)), TracedGraph(_as_it_would_run(file_model))
        # What the longest capsule chooses differs as a whole where the answer does: that is an effect, and no fault.
        chosen = wanted.behind("ArgMax")
        shared = [name for name in wanted.makers if name in given.makers and name not in chosen]
        stands_for = {name: name for name in shared}
        for name in shared:
            stands_for |= dict.fromkeys(given.stand_ins(name, until=shared), name)
        found = differences(wanted, given, stands_for, images)
    except ModelError as error:
        return Trace(starts_at=f"{UNTRACEABLE}: {error}", images=len(images))
    tracer = _Tracer(wanted, given, stands_for, found, tolerance.node)
    return Trace(starts_at=tracer.start(), images=len(images), nodes=tuple(map(tracer.row, tracer.shared)))


def _as_it_would_run(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that this machine computes: the model, or its emulation.

    Raises:
        ModelError: It is not a sound graph.
    """
    try:
        return emulated(model) if emulated_types(model) else model
    except (onnx.checker.ValidationError, KeyError, ValueError) as error:
        raise ModelError(f"it is not a sound graph: {' '.join(str(error).split())}") from error


class _Tracer:
    """The differences of a file's tensors, read in the order of its nodes."""

    def __init__(
        self,
        wanted: TracedGraph,
        given: TracedGraph,
        stands_for: dict[str, str],
        found: dict[str, Difference],
        limit: float,
    ) -> None:
        self.given = given
        self.altered = given.altered(wanted)
        self.stands_for = stands_for
        self.found = found
        self.limit = limit
        self.shared = [name for name in found if stands_for[name] == name]

    def row(self, name: str) -> NodeDifference:
        """What the report says of one tensor."""
        read = [self.found[other].relative for other in self.found if self.stands_for[other] == name]
        return NodeDifference(
            node=_title(self.given.origin(name)),
            tensor=name,
            difference=_finite(self.found[name].relative),
            read=_finite(max(read)),
        )

    def start(self) -> str:
        """Where the difference starts, in words."""
        if not set(self.shared) - set(self.given.outputs):
            return f"{UNTRACEABLE}: none of its inner results has the name of one of the network's"
        if max(map(self._difference, self.found)) <= TOLERANCES["fp32"].node:
            return f"{NOWHERE}every result is the network's, on the images that were traced and two at a time"
        first = next((name for name in self.shared if self._jumps(name)), None)
        if first is not None:
            return self._words(self._wrongly_read(first) or first)
        most = max(self.shared, key=lambda name: self._difference(name) - self._before(name))
        return f"{self._words(most)}; no node stands out, this one adds most"

    def _difference(self, name: str) -> float:
        return self.found[name].relative

    def _before(self, name: str) -> float:
        """The largest difference of what a tensor is computed from, before casts and quantization."""
        if self.stands_for[name] != name:
            return self._difference(self.stands_for[name])
        sources = self.given.before(self.given.origin(name), among=self.found)
        return max((self._difference(self.stands_for[each]) for each in sources), default=0.0)

    def _jumps(self, name: str) -> bool:
        return self._difference(name) > max(self.limit, JUMP * self._before(name))

    def _wrongly_read(self, name: str) -> str | None:
        """What a tensor is computed from, where a cast or a quantization made it wrong: the first such tensor."""
        for read in self.given.origin(name).input:
            chain = [each for each in self.given.chain(read) if each in self.found]
            late = [each for each in chain if self.stands_for[each] != each and self._jumps(each)]
            if late:
                return late[0]
        return None

    def _maker(self, name: str) -> onnx.NodeProto:
        """The node that made a tensor differ: a cast or a quantization only where what it takes is right."""
        node = self.given.makers[name]
        while node.op_type in STAND_INS and node.input[0] in self.given.makers:
            source = node.input[0]
            if source in self.found and self._difference(source) <= self.limit:
                break
            node = self.given.makers[source]
        return node

    def _words(self, name: str) -> str:
        node = self._maker(name)
        usual = self.given.constant(node, 1 if node.op_type in (*LAYER_OPS, *STAND_INS) else 0)
        weight = next((each for each in node.input if each in self.altered), usual)
        return (
            f"{_title(node)}{f' of {weight!r}' if weight else ''}, whose output differs by "
            f"{_share(self._difference(name))} and what it is computed from by {_share(self._before(name))}"
        )


def _title(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or node.output[0]}'"


def _share(relative: float) -> str:
    if not np.isfinite(relative):
        return "more than a number tells (NaN, infinity or another shape)"
    return f"{100 * relative:.0f} %" if relative >= 0.1 else f"{100 * relative:.1g} %"


def _finite(relative: float) -> float | None:
    return relative if np.isfinite(relative) else None
