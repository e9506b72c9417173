"""Comparison of the intermediate results of two graphs on the same images."""

from collections.abc import Container, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from capsedge.errors import CapsedgeError, ModelError
from capsedge.export.exposed import exposing
from capsedge.export.graph import NamedGraph
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.ort.placement import reason

# The output of one of these operators corresponds to its input.
CONVERSIONS = ("Cast", "QuantizeLinear", "DequantizeLinear")
PAIR = 2  # images in each run: little memory, and a graph with a hard-coded batch of 1 fails

_FLOATS = ("tensor(float)", "tensor(float16)", "tensor(double)")


class TracedGraph(NamedGraph):
    """An ONNX graph whose tensors can be traced through casts and quantization."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__(model.graph)
        self.model = model

    @property
    def batch(self) -> int | None:
        """The fixed batch of the graph; None for a free batch."""
        return self.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or None

    def conversions_of(self, name: str, *, until: Iterable[str]) -> Iterator[str]:
        """The results of casting and quantizing a tensor, up to the tensors `until`."""
        for node in self.readers.get(name, []):
            if node.op_type in CONVERSIONS and node.input[0] == name and node.output[0] not in until:
                yield node.output[0]
                yield from self.conversions_of(node.output[0], until=until)

    def altered(self, other: "TracedGraph") -> set[str]:
        """Names of constants that have other values in another graph."""
        theirs = {each.name: each.SerializeToString() for each in other.model.graph.initializer}
        ours = self.model.graph.initializer
        return {
            each.name for each in ours if theirs.get(each.name, each.SerializeToString()) != each.SerializeToString()
        }

    def downstream_of(self, op: str) -> set[str]:
        """Every tensor that is computed from the result of an operator, and that result."""
        found: set[str] = set()
        for node in self.nodes:
            if node.op_type == op or found.intersection(node.input):
                found.update(node.output)
        return found

    def chain(self, name: str) -> list[str]:
        """A tensor and those that it was cast or quantized from, in the order of computation."""
        found = [name]
        while found[0] in self.makers and self.makers[found[0]].op_type in CONVERSIONS:
            found.insert(0, self.makers[found[0]].input[0])
        return found

    def origin(self, name: str) -> onnx.NodeProto:
        """The node that computes a tensor, before casts and quantization."""
        return self.makers[next(each for each in self.chain(name) if each in self.makers)]

    def before(self, node: onnx.NodeProto, *, among: Container[str]) -> set[str]:
        """The nearest tensors of `among` that a node is computed from."""
        found, seen, read = set(), set(), list(node.input)
        while read:
            name = read.pop()
            if name in among:
                found.add(name)
            elif name in self.makers and name not in seen:
                seen.add(name)
                read += self.makers[name].input
        return found

    def constant(self, node: onnx.NodeProto, operand: int) -> str:
        """The constant that an operand of a node is, or is dequantized from; "" if there is none."""
        name = self.chain(node.input[operand])[0] if len(node.input) > operand else ""
        return name if name in self.constants else ""


@dataclass
class TensorDifference:
    """Difference between a tensor and its reference, accumulated over images.

    Attributes:
        largest: Largest absolute difference of an element; infinite if one is NaN or the shapes differ.
        squares: Sum of the squared differences.
        norm: Sum of the squared reference values.
    """

    largest: float = 0.0
    squares: float = 0.0
    norm: float = 0.0

    def add(self, wanted: NDArray[Any], given: NDArray[Any]) -> None:
        """Add the tensors of another run, of any shape; of different shapes the difference is infinite."""
        if wanted.shape != given.shape:
            self.largest = np.inf
            return
        wanted = wanted.astype(np.float64)
        difference = given - wanted
        largest = float(np.abs(difference).max(initial=0.0))
        self.largest = max(self.largest, largest) if np.isfinite(largest) else np.inf
        self.squares += float((difference**2).sum())
        self.norm += float((wanted**2).sum())

    @property
    def relative(self) -> float:
        """||given - wanted|| / ||wanted||; infinite if `largest` is, or if only the reference is all zero."""
        if not np.isfinite(self.largest):
            return np.inf
        if self.norm == 0:
            return np.inf if self.squares else 0.0
        return float((self.squares / self.norm) ** 0.5)


def differences(
    wanted: TracedGraph, given: TracedGraph, counterparts: dict[str, str], images: NDArray[np.uint8]
) -> dict[str, TensorDifference]:
    """Run both graphs on the same images and compare tensors of floating-point numbers.

    Args:
        wanted: The network's graph.
        given: The file's graph.
        counterparts: The tensors to compare: from the name in `given` to the name in `wanted`.
        images: uint8 [images, height, width, channels].

    Raises:
        ModelError: One of the graphs does not run.
    """
    ours, theirs = _UnoptimizedSession(wanted, counterparts.values()), _UnoptimizedSession(given, counterparts)
    both = {name: true for name, true in counterparts.items() if name in theirs.floats and true in ours.floats}
    found = {name: TensorDifference() for name in both}
    size = given.batch or PAIR
    for start in range(0, len(images), size):
        batch = images[np.arange(start, start + size) % len(images)]
        right, got = ours.run(set(both.values()), batch), theirs.run(both, batch)
        for name, true in both.items():
            found[name].add(right[true], got[name])
    return found


class _UnoptimizedSession:
    """A graph in ONNX Runtime without optimizations, whose intermediate tensors are outputs."""

    def __init__(self, graph: TracedGraph, names: Iterable[str]) -> None:
        with _one_line():
            self._session = exposing(graph.model, names, optimized=False)
        self._input = graph.model.graph.input[0].name
        self.floats = {output.name for output in self._session.get_outputs() if output.type in _FLOATS}

    def run(self, names: Iterable[str], images: NDArray[np.uint8]) -> Arrays:
        """Compute the named tensors for a batch of images."""
        wanted = list(names)
        with _one_line():
            return dict(zip(wanted, self._session.run(wanted, {self._input: images}), strict=True))


@contextmanager
def _one_line() -> Iterator[None]:
    """Convert ONNX Runtime's errors, which have no common class, to `ModelError`."""
    try:
        yield
    except CapsedgeError:
        raise
    except Exception as error:
        raise ModelError(reason(error)) from error
