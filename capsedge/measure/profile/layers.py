"""The nodes that ran as layers, each with its time, stage, cost and layer of the contract."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from capsedge.contract import Contract, Layer
from capsedge.measure.profile.blocked import unpadded
from capsedge.measure.profile.costs import NodeCost, cost_of
from capsedge.measure.profile.grouping import TICK_US, typical
from capsedge.measure.profile.ort_events import NodeTime, RunTime
from capsedge.measure.profile.recording import Recording
from capsedge.measure.profile.report import LayerTime
from capsedge.measure.profile.stages import VIEWS, Stage, is_layer, stages_of
from capsedge.onnx_lite.graph import Graph, Node, read_graph
from capsedge.onnx_lite.tensor import Tensor


def layers_of(recording: Recording, contract: Contract | None, file: Path) -> Iterator[LayerTime]:
    """One record for each node that ran, in the order of the first run.

    Args:
        recording: The measured runs.
        contract: The model's contract, or None.
        file: The model's file.
    """
    known = None if recording.graph is None else _Known(recording, recording.graph, contract, file)
    probe_us = probe_of(recording)
    for place, node in enumerate(recording.runs[0].nodes):
        times = [_same(run, place, node) for run in recording.runs]
        recorded_us = typical(times)
        time_us = max(recorded_us - probe_us, 0.0)
        cost = _cost(node) if known is None else known.cost(place, node)
        yield LayerTime(
            name=node.name,
            layer="" if known is None else known.layer(place),
            op=node.op,
            stage=_stage(known, contract, place, node),
            provider=node.provider,
            time_us=time_us,
            recorded_us=recorded_us,
            median_us=median(times),
            share=0.0,
            kind=cost.kind,
            flops=cost.flops,
            weight_bytes=cost.weight_bytes,
            activation_bytes=cost.activation_bytes,
            gflops=cost.flops / time_us / 1e3 if cost.flops and time_us >= TICK_US else None,
            intensity=cost.flops / cost.size_bytes if cost.flops and cost.size_bytes else None,
        )


def probe_of(recording: Recording) -> float:
    """The profiler's overhead per node in microseconds, measured on nodes that do no work; 0 where there are none.

    ONNX Runtime takes the end time after collecting a node's data, so the collection is part of the recorded time.
    """
    places = [place for place, node in enumerate(recording.runs[0].nodes) if node.op in VIEWS]
    views = [typical([run.nodes[place].duration_us for run in recording.runs]) for place in places]
    return median(views) if views else 0.0


def _same(run: RunTime, place: int, node: NodeTime) -> float:
    """The time of a node in another run, which usually has the same order; 0 where it did not run."""
    if place < len(run.nodes) and run.nodes[place].name == node.name:
        return run.nodes[place].duration_us
    return sum(each.duration_us for each in run.nodes if each.name == node.name)


def _stage(known: "_Known | None", contract: Contract | None, place: int, node: NodeTime) -> str:
    """The stage of a node, or its operator in a model without a contract."""
    if contract is None:
        return node.op
    return "unknown" if known is None else known.stage(place)


def _cost(node: NodeTime) -> NodeCost:
    """The cost by the profiler's shapes, which lack prepacked weights."""
    return cost_of(Node(node.op, node.name), node.inputs, node.outputs)


class _Known:
    """Stages, layers and costs of the nodes of a run from the optimized graph, by their position in the run."""

    def __init__(self, recording: Recording, graph: Graph, contract: Contract | None, file: Path) -> None:
        self._graph = graph
        self._index = matched(recording.runs[0].nodes, graph)
        written = read_graph(file)
        self._tensors = unpadded(_tensors(recording, graph, self._index), graph, written)
        self._stages: tuple[Stage, ...] = ()
        self._layers: dict[int, Layer] = {}
        if contract is not None:
            names = frozenset(node.name for node in written.nodes)
            self._stages = stages_of(graph, collapsed=contract.collapsed, written=names)
            self._layers = layers_by_node(graph, contract)

    def stage(self, place: int) -> str:
        """The stage of a node, or "unknown"."""
        index = self._index.get(place)
        return "unknown" if index is None else self._stages[index]

    def layer(self, place: int) -> str:
        """Name of the contract's layer that a node computes, or ""."""
        layer = self._layers.get(self._index.get(place, -1))
        return "" if layer is None else layer.name

    def cost(self, place: int, timed: NodeTime) -> NodeCost:
        """The cost by the graph, which has all weights."""
        index = self._index.get(place)
        if index is None:
            return _cost(timed)
        node = self._graph.nodes[index]
        return cost_of(
            node,
            [self._tensors.get(name) for name in node.inputs],
            [self._tensors[name] for name in node.outputs if name in self._tensors],
            [name in self._graph.constants for name in node.inputs],
        )


def matched(nodes: Sequence[NodeTime], graph: Graph) -> dict[int, int]:
    """Find the index in the graph of each node of a run.

    ONNX Runtime runs a graph in the order in which it writes it, and nodes may have no names. Where the order
    differs, as with subgraphs, nodes are matched by names that occur once.
    """
    if [node.op for node in nodes] == [node.op for node in graph.nodes]:
        return {place: place for place in range(len(nodes))}
    count = Counter(node.name for node in graph.nodes)
    by_name = {node.name: index for index, node in enumerate(graph.nodes) if node.name and count[node.name] == 1}
    return {place: by_name[node.name] for place, node in enumerate(nodes) if node.name in by_name}


def _tensors(recording: Recording, graph: Graph, index: dict[int, int]) -> dict[str, Tensor]:
    """Type and shape of every tensor of the first run, by name."""
    tensors = {**recording.inputs, **graph.weights}
    for place, node in enumerate(recording.runs[0].nodes):
        if place in index:
            made = [name for name in graph.nodes[index[place]].outputs if name]
            tensors.update(zip(made, node.outputs, strict=False))
    return tensors


def layers_by_node(graph: Graph, contract: Contract) -> dict[int, Layer]:
    """The contract's layers by node; empty where graph and contract have different numbers of layers."""
    ran = [index for index, node in enumerate(graph.nodes) if is_layer(graph, node)]
    promised = [layer for layer in contract.layers if layer.parameters]
    return dict(zip(ran, promised, strict=True)) if len(ran) == len(promised) else {}
