"""The stage of a capsule network that each node belongs to, derived from the structure of the optimized graph.

ONNX Runtime rewrites a graph before it runs it: nodes are fused and renamed, layouts change, weights are packed. The
order of the layers with weights and the names of the outputs stay. A node's depth is therefore the number of layers
with weights on the longest path from the input: the deepest convolution computes the primary capsules, those before
it are the stem, and each layer after it is a capsule layer. The head is everything between the outputs lengths and
poses and the last tensor that both are computed from.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from capsedge.onnx_lite.graph import Graph, Node

Stage = Literal[
    "preprocess",
    "stem",
    "primary capsules",
    "squash",
    "hidden capsules",
    "class capsules",
    "routing",
    "head",
    "decoder",
    "layout and conversions",
    "several at once",
    "unknown",
]
STAGES: tuple[Stage, ...] = get_args(Stage)

# Index of the weight among the inputs of each operator, of ONNX and of ONNX Runtime's optimized graphs.
PRODUCTS = {
    "Conv": 1,
    "FusedConv": 1,
    "NhwcFusedConv": 1,
    "ConvInteger": 1,
    "QLinearConv": 3,
    "Gemm": 1,
    "FusedGemm": 1,
    "QGemm": 3,
    "MatMul": 1,
    "FusedMatMul": 1,
    "QLinearMatMul": 3,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "DynamicQuantizeMatMul": 1,
}
VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
CONVERSIONS = frozenset(
    {"Cast", "Transpose", "QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput", "MemcpyToHost"}
    | {"MemcpyFromHost"}
)


def is_layer(graph: Graph, node: Node) -> bool:
    """Whether a node multiplies by a weight; the product of votes and couplings does not."""
    place = PRODUCTS.get(node.op)
    return place is not None and place < len(node.inputs) and node.inputs[place] in graph.constants


def stages_of(graph: Graph, *, collapsed: bool, written: frozenset[str]) -> tuple[Stage, ...]:
    """Find the stage of every node of a capsule network.

    Args:
        graph: The optimized graph.
        collapsed: `Contract.collapsed`: then there is no routing after the squash.
        written: Names of the nodes in the file. A conversion that is not among them was inserted by the runtime.
    """
    depths = _depths(graph)
    primary = _primary(graph, depths)
    ends = [graph.maker[name] for name in ("lengths", "poses") if name in graph.maker]
    split = _last_common(graph, ends)
    last = depths[split] if split is not None else max(depths, default=0)
    network = _needed_for(graph, ends)
    behind = _behind(graph, split)
    squashed = _squashed(graph, depths, primary)
    stages: list[Stage] = []
    for index, node in enumerate(graph.nodes):
        if node.op in CONVERSIONS and node.name not in written:
            stages.append("layout and conversions")
        elif index not in network:
            stages.append("decoder")
        elif index in behind:
            stages.append("head")
        elif depths[index] < primary:
            stages.append("stem" if depths[index] else "preprocess")
        elif depths[index] == primary:
            stages.append("squash" if index in squashed else "primary capsules")
        else:
            layer = is_layer(graph, node)
            stages.append(_above_primary(depths[index], last, layer=layer, collapsed=collapsed))
    return _with_constants(graph, stages)


def _above_primary(depth: int, last: int, *, layer: bool, collapsed: bool) -> Stage:
    if not layer and not collapsed:
        return "routing"
    return "class capsules" if depth == last else "hidden capsules"


def _primary(graph: Graph, depths: Sequence[int]) -> int:
    """The depth of the primary capsules' convolution, the deepest one."""
    layers = zip(graph.nodes, depths, strict=True)
    return max((depth for node, depth in layers if "Conv" in node.op and is_layer(graph, node)), default=1)


def _squashed(graph: Graph, depths: Sequence[int], primary: int) -> set[int]:
    """Nodes from the first arithmetic on the primary capsules' features on; nodes before it form the capsules."""
    found: set[int] = set()
    for index, node in enumerate(graph.nodes):
        arithmetic = node.op not in VIEWS | CONVERSIONS and not is_layer(graph, node)
        if depths[index] == primary and (arithmetic or found.intersection(graph.makers(node))):
            found.add(index)
    return found


def _depths(graph: Graph) -> list[int]:
    """Number of layers with weights on the longest path from the inputs to each node, including it."""
    depths: list[int] = []
    for node in graph.nodes:
        below = max((depths[maker] for maker in graph.makers(node)), default=0)
        depths.append(below + is_layer(graph, node))
    return depths


def _last_common(graph: Graph, ends: Sequence[int]) -> int | None:
    """The last node that every path to each of the ends leads through: the deepest common dominator."""
    through: list[set[int]] = []
    for index, node in enumerate(graph.nodes):
        ways = [through[maker] for maker in graph.makers(node)]
        through.append({index}.union(set.intersection(*ways)) if ways else {index})
    common = set.intersection(*(through[end] for end in ends)) if ends else set()
    return max(common.difference(ends), default=None)


def _needed_for(graph: Graph, ends: Sequence[int]) -> set[int]:
    """The ends and all nodes that they depend on; every node where there are no ends."""
    needed = set(ends or range(len(graph.nodes)))
    for index in reversed(range(len(graph.nodes))):
        if index in needed:
            needed.update(graph.makers(graph.nodes[index]))
    return needed


def _behind(graph: Graph, split: int | None) -> set[int]:
    """The nodes that depend on a node, directly or not."""
    behind: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if any(maker == split or maker in behind for maker in graph.makers(node)):
            behind.add(index)
    return behind


def _with_constants(graph: Graph, stages: list[Stage]) -> tuple[Stage, ...]:
    """Give nodes that depend on weights only, as in a graph without optimization, the stage of their user."""
    taker = {name: index for index in reversed(range(len(graph.nodes))) for name in graph.nodes[index].inputs}
    for index in reversed(range(len(graph.nodes))):
        users = [taker[name] for name in graph.nodes[index].outputs if name in taker]
        if users and graph.constants.issuperset(graph.nodes[index].outputs):
            stages[index] = stages[users[0]]
    return tuple(stages)
