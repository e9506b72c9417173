"""Locating where a rejected file's difference starts, by comparing its intermediate results with the network's graph.

Tensors are compared by name: the passes of capsedge export keep the names of tensors and insert casts, QuantizeLinear
and DequantizeLinear after them.
"""

from typing import Literal

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.export.gate.intermediate import CONVERSIONS, TensorDifference, TracedGraph, differences
from capsedge.export.gate.tolerance import TOLERANCES, Tolerance
from capsedge.export.layers import LAYER_OPS
from capsedge.export.precision import emulated, emulated_types

# A square doubles a relative difference, and rounding adds to it; a fault multiplies it by more.
JUMP = 3


class NodeDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Relative difference of a node's output, ||file - network|| / ||network||, over all traced images.

    Attributes:
        node: The node's operator and name in the file.
        tensor: Name of its output in both graphs.
        difference: Difference of the output; None if it is NaN, infinite or of another shape.
        read: Largest difference of the output after casts and quantization, as the next nodes read it; None as above.
    """

    node: str
    tensor: str
    difference: float | None
    read: float | None


Outcome = Literal["node", "no-node", "untraceable", "not-traced"]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The node where a difference starts.

    Attributes:
        outcome: `node` if a node was found, `no-node` if every result equals the network's, `untraceable` if the
            graphs cannot be compared, `not-traced` if no trace was made.
        starts_at: Description of the node, or the reason why there is none.
        images: Number of traced images.
        nodes: Every output that both graphs have, in the order of the network's graph.
    """

    outcome: Outcome
    starts_at: str
    images: int
    nodes: tuple[NodeDifference, ...] = ()


def localize(
    network_model: onnx.ModelProto, file_model: onnx.ModelProto, images: NDArray[np.uint8], tolerance: Tolerance
) -> Trace:
    """Name the node where a file starts to differ from the network.

    This is the first node, in the order of the network's graph, whose output differs by more than `Tolerance.node`
    and by more than `JUMP` times the difference of its inputs, or the faulty cast or quantization just before it. If
    there is none, it is the node that adds most to the difference.

    Args:
        network_model: The network's graph, exported again in fp32 or in the file's precision.
        file_model: The rejected file. Types that ONNX Runtime's CPU provider lacks, such as bf16, are emulated.
        images: A few images, some with differing lengths: uint8 [images, height, width, channels].
        tolerance: The limits of the file's precision.
    """
    try:
        wanted, given = TracedGraph(_as_it_would_run(network_model)), TracedGraph(_as_it_would_run(file_model))
        # The reconstruction of another longest capsule differs completely: that is a consequence, not the fault.
        chosen = wanted.downstream_of("ArgMax")
        shared = [name for name in wanted.makers if name in given.makers and name not in chosen]
        counterparts = {name: name for name in shared}
        for name in shared:
            counterparts |= dict.fromkeys(given.conversions_of(name, until=shared), name)
        found = differences(wanted, given, counterparts, images)
    except ModelError as error:
        return Trace(outcome="untraceable", starts_at=f"cannot be traced: {error}", images=len(images))
    tracer = _Tracer(wanted, given, counterparts, found, tolerance.node)
    outcome, start = tracer.start()
    nodes = tuple(map(tracer.row, tracer.shared))
    return Trace(outcome=outcome, starts_at=start, images=len(images), nodes=nodes)


def _as_it_would_run(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph that this machine can run: the model or its emulation.

    Raises:
        ModelError: The graph is invalid.
    """
    try:
        return emulated(model) if emulated_types(model) else model
    except (onnx.checker.ValidationError, KeyError, ValueError) as error:
        raise ModelError(f"its graph is invalid: {' '.join(str(error).split())}") from error


class _Tracer:
    """The differences of a file's tensors, in the order of its nodes."""

    def __init__(
        self,
        wanted: TracedGraph,
        given: TracedGraph,
        counterparts: dict[str, str],
        found: dict[str, TensorDifference],
        limit: float,
    ) -> None:
        self.given = given
        self.altered = given.altered(wanted)
        self.counterparts = counterparts
        self.found = found
        self.limit = limit
        self.shared = [name for name in found if counterparts[name] == name]

    def row(self, name: str) -> NodeDifference:
        """The row of the report for one tensor."""
        read = [self.found[other].relative for other in self.found if self.counterparts[other] == name]
        return NodeDifference(
            node=_title(self.given.origin(name)),
            tensor=name,
            difference=_finite(self.found[name].relative),
            read=_finite(max(read)),
        )

    def start(self) -> tuple[Outcome, str]:
        """The outcome, and a description of where the difference starts."""
        if not set(self.shared) - set(self.given.outputs):
            return (
                "untraceable",
                "cannot be traced: it shares no name of an intermediate result with the network's graph",
            )
        if max(map(self._difference, self.found)) <= TOLERANCES["fp32"].node:
            return (
                "no-node",
                "no node: every result equals the network's, on the traced images in batches of two",
            )
        first = next((name for name in self.shared if self._jumps(name)), None)
        if first is not None:
            return "node", self._words(self._wrongly_read(first) or first)
        most = max(self.shared, key=lambda name: self._difference(name) - self._before(name))
        return "node", f"{self._words(most)}; no single node stands out, this one adds most"

    def _difference(self, name: str) -> float:
        return self.found[name].relative

    def _before(self, name: str) -> float:
        """The largest difference of the tensors that a tensor is computed from, before casts and quantization."""
        if self.counterparts[name] != name:
            return self._difference(self.counterparts[name])
        sources = self.given.before(self.given.origin(name), among=self.found)
        return max((self._difference(self.counterparts[each]) for each in sources), default=0.0)

    def _jumps(self, name: str) -> bool:
        return self._difference(name) > max(self.limit, JUMP * self._before(name))

    def _wrongly_read(self, name: str) -> str | None:
        """The first input of a tensor's node that a cast or a quantization made wrong; None if there is none."""
        for read in self.given.origin(name).input:
            chain = [each for each in self.given.chain(read) if each in self.found]
            late = [each for each in chain if self.counterparts[each] != each and self._jumps(each)]
            if late:
                return late[0]
        return None

    def _maker(self, name: str) -> onnx.NodeProto:
        """The node that made a tensor differ; a cast or a quantization only if its own input is right."""
        node = self.given.makers[name]
        while node.op_type in CONVERSIONS and node.input[0] in self.given.makers:
            source = node.input[0]
            if source in self.found and self._difference(source) <= self.limit:
                break
            node = self.given.makers[source]
        return node

    def _words(self, name: str) -> str:
        node = self._maker(name)
        usual = self.given.constant(node, 1 if node.op_type in (*LAYER_OPS, *CONVERSIONS) else 0)
        weight = next((each for each in node.input if each in self.altered), usual)
        return (
            f"{_title(node)}{f' of {weight!r}' if weight else ''}, whose output differs by "
            f"{_share(self._difference(name))} and whose input differs by {_share(self._before(name))}"
        )


def _title(node: onnx.NodeProto) -> str:
    return f"{node.op_type} '{node.name or node.output[0]}'"


def _share(relative: float) -> str:
    if not np.isfinite(relative):
        return "an undefined amount (NaN, infinity or another shape)"
    return f"{100 * relative:.0f} %" if relative >= 0.1 else f"{100 * relative:.1g} %"


def _finite(relative: float) -> float | None:
    return relative if np.isfinite(relative) else None
