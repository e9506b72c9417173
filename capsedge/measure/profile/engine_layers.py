"""The layers of a TensorRT engine by their names in its profiler. Not run on a GPU yet.

TensorRT names a layer after the nodes that it fused: `node_conv2d + node_relu`, `{ForeignNode[a...b]}` for all nodes
from a to b, `Reformatting CopyNode for ...` for its own. The stages are therefore found by these names in the ONNX
file beside the engine.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from capsedge.contract import Contract, Layer
from capsedge.measure.profile.grouping import typical
from capsedge.measure.profile.layers import layers_by_node
from capsedge.measure.profile.report import LayerTime, Whole
from capsedge.measure.profile.stages import Stage, stages_of
from capsedge.onnx_lite.graph import Graph, read_graph
from capsedge.runtime.tensorrt.session import EngineSession

WARM_UP_RUNS = 50
_OWN = ("Reformatting CopyNode", "copied_squeeze", "Copy ")


@dataclass(frozen=True)
class EngineTimes:
    """Times of an engine by TensorRT's profiler.

    Attributes:
        layers: Name and microseconds of each layer.
        whole: Times of the whole run.
        warmup_runs: Number of warm-up runs.
    """

    layers: list[tuple[str, float]]
    whole: Whole
    warmup_runs: int


def engine_times(session: EngineSession, batch: int, runs: int) -> EngineTimes:
    """Time an engine without the profiler, and then with it.

    Raises:
        ModelError: The engine does not take the batch, or fails.
    """
    feeds = session.feeds(batch)
    for _ in range(WARM_UP_RUNS):
        session.run_raw(feeds)
    plain = [session.run_with_breakdown(feeds).compute_ms * 1e3 for _ in range(runs)]
    plain_us = typical(plain)
    layers = [(name, ms * 1e3) for name, ms in session.layer_times(feeds, runs)]
    layers_us = sum(us for _, us in layers)
    whole = Whole(layers_us=layers_us, between_us=plain_us - layers_us, plain_us=plain_us)
    return EngineTimes(layers, whole, WARM_UP_RUNS)


def engine_layers(
    file: Path, contract: Contract | None, times: Sequence[tuple[str, float]], *, batch: int
) -> Iterator[LayerTime]:
    """One record for each layer of an engine.

    Args:
        file: The engine; without the ONNX file that it was built from beside it, the stages are unknown.
        contract: The engine's contract.
        times: Name and microseconds of each layer.
        batch: Images in a run.
    """
    names = _Names(file, contract)
    for name, time_us in times:
        stages = names.stages_in(name)
        layers = names.layers_in(name)
        flops = sum(batch * layer.flops for layer in layers)
        yield LayerTime(
            name=name,
            layer=" + ".join(layer.name for layer in layers),
            stage=_one(stages) if stages else "layout and conversions" if name.startswith(_OWN) else "unknown",
            provider="TensorRT",
            time_us=time_us,
            recorded_us=time_us,
            median_us=time_us,
            share=0.0,
            kind=layers[0].type if layers else None,
            flops=flops or None,
            gflops=flops / time_us / 1e3 if flops and time_us else None,
        )


def _one(stages: Sequence[Stage]) -> Stage:
    return stages[0] if len(set(stages)) == 1 else "several at once"


class _Names:
    """The nodes of the ONNX file by name, with their stages and their layers in the contract."""

    def __init__(self, file: Path, contract: Contract | None) -> None:
        onnx_file = file.with_suffix(".onnx")
        known = contract is not None and onnx_file.is_file()
        graph = read_graph(onnx_file) if known else Graph((), {}, (), ())
        self._places = {node.name: place for place, node in enumerate(graph.nodes) if node.name}
        self._stages: tuple[Stage, ...] = ()
        self._layers: dict[int, Layer] = {}
        if contract is not None and known:
            self._stages = stages_of(graph, collapsed=contract.collapsed, written=frozenset(self._places))
            self._layers = layers_by_node(graph, contract)

    def _in(self, layer: str) -> list[int]:
        """The nodes that a layer's name contains, in the order of the file."""
        if layer.startswith(_OWN):
            return []
        places = {self._places[word] for word in re.split(r"[\s,+(){}\[\]]+|\.{3}", layer) if word in self._places}
        if "..." in layer and places:  # all nodes from the first to the last
            places.update(range(min(places), max(places) + 1))
        return sorted(places)

    def stages_in(self, layer: str) -> list[Stage]:
        """The stages of a layer's nodes."""
        return [self._stages[place] for place in self._in(layer)]

    def layers_in(self, layer: str) -> list[Layer]:
        """The layers of the contract that a layer of the engine computes."""
        return [self._layers[place] for place in self._in(layer) if place in self._layers]
