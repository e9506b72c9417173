"""Stages of the graphs that ONNX Runtime makes of real networks of each kind and precision."""

import onnx
import pytest

from capsedge.export.collapse import deployable
from capsedge.export.layers import layers_of
from capsedge.export.onnx import to_onnx
from capsedge.export.precision.half import in_half
from capsedge.export.precision.quantize import METHODS, quantized
from capsedge.measure.profile.stages import Stage, stages_of
from capsedge.onnx_lite.graph import Graph, Node
from capsedge.onnx_lite.tensor import Tensor
from tests.export.graphs import SHAPE, graph_of, graph_of_kind, random_network
from tests.export.stems import stem_network
from tests.measure.profile.recorded import layers_of_run, optimized
from tests.runtime.capsule_model import graph, images

OWN = "layout and conversions"  # what ONNX Runtime put in: it depends on the processor, so it is left out below


def names_in(model: onnx.ModelProto) -> frozenset[str]:
    return frozenset(node.name for node in model.graph.node)


def staged(model: onnx.ModelProto, *, collapsed: bool = True) -> list[tuple[Stage, Node]]:
    """The nodes that run, with their stages."""
    ran = optimized(model)
    return list(zip(stages_of(ran, collapsed=collapsed, written=names_in(model)), ran.nodes, strict=True))


def order(found: list[tuple[Stage, Node]]) -> list[str]:
    """The stages in the order in which they begin."""
    return list(dict.fromkeys(stage for stage, _ in found if stage != OWN))


def layers(found: list[tuple[Stage, Node]]) -> list[Stage]:
    """The stages of the convolutions and products."""
    return [stage for stage, node in found if "Conv" in node.op or "Gemm" in node.op or "MatMul" in node.op]


COLLAPSED = ["preprocess", "stem", "primary capsules", "squash", "class capsules", "head"]
HEAD = ["ReduceL2", "Reciprocal", "Add", "Div", "ReduceL2"]  # poses, and their lengths


def test_a_collapsed_network_runs_through_its_stages_one_after_the_other() -> None:
    found = staged(graph())

    assert order(found) == COLLAPSED
    assert layers(found) == ["stem", "primary capsules", "class capsules"]
    assert [node.op for stage, node in found if stage == "squash"] == [
        "ReduceL2", "Mul", "Add", "Div", "Mul", "Reshape",
    ]  # fmt: skip
    assert [node.op for stage, node in found if stage == "head"] == [
        "ReduceL2", "Mul", "Add", "Div", "Mul", "ReduceL2",
    ]  # fmt: skip
    assert {node.op for stage, node in found if stage == OWN} <= {"ReorderInput", "ReorderOutput", "Transpose"}


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_narrow_types_leave_the_stages_where_they_are(precision: str) -> None:
    full = graph()
    for index, node in enumerate(full.graph.node):
        node.name = node.name or f"node {index}"
    if precision == "fp16":
        model = in_half(full, "fp16")
    else:
        model = quantized(full, images(20), lambda *_: (0.0, 0.0), METHODS[:1]).model
    found = staged(model)

    assert layers(found) == ["stem", "primary capsules", "class capsules"]
    assert order(found) == COLLAPSED
    own = {node.op for stage, node in found if stage == OWN}
    assert own <= {"ReorderInput", "ReorderOutput", "Transpose", "Cast", "QuantizeLinear", "DequantizeLinear"}
    assert precision != "int8" or "DequantizeLinear" in own  # it moves those of the file across a Reshape


def test_routing_is_what_a_network_computes_anew_for_each_image() -> None:
    found = staged(graph_of_kind("dynamic"), collapsed=False)

    # The uniform sum and the votes have weights; three sums and two agreements multiply what was just computed.
    assert layers(found) == ["stem", "primary capsules", *["class capsules"] * 2, *["routing"] * 4]
    assert order(found) == [*COLLAPSED[:5], "routing", "head"]
    assert {stage for stage, node in found if node.op == "Softmax"} == {"routing"}
    assert [node.op for stage, node in found if stage == "head"] == HEAD


# Blocks of [8, 2], [8, 1] and [12, 2]: the first is one convolution, the second has two, and the third has another
# one around them in a residual stem.
STEM_CONVOLUTIONS = {"plain": 3, "separable": 5, "residual": 6, "repvgg": 3}


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("stem", STEM_CONVOLUTIONS)
def test_every_convolution_but_the_last_is_the_stems(stem: str, precision: str) -> None:
    model = graph_of(stem_network(stem))
    if precision == "int8":
        model = quantized(model, images(20), lambda *_: (0.0, 0.0), METHODS[:1]).model
    found = staged(model)

    assert layers(found) == [*["stem"] * STEM_CONVOLUTIONS[stem], "primary capsules", "class capsules"]
    assert order(found) == COLLAPSED
    # What is added on the way around is the stem's too, in squash and head there is one sum each.
    sums = [stage for stage, node in found if node.op in ("Add", "QLinearAdd")]
    assert set(sums) <= {"stem", "squash", "head"}
    assert (sums.count("squash"), sums.count("head")) == (1, 1)


def test_routing_above_a_stem_of_many_convolutions_is_told_from_it() -> None:
    found = staged(graph_of(stem_network("residual", "dynamic")), collapsed=False)

    assert layers(found) == [
        *["stem"] * 6, "primary capsules", *["class capsules"] * 2, *["routing"] * 4,
    ]  # fmt: skip
    assert order(found) == [*COLLAPSED[:5], "routing", "head"]


@pytest.mark.parametrize("batch", [1, 3])
def test_a_run_costs_what_export_counted_in_the_file(batch: int) -> None:
    model = graph_of_kind("dynamic")
    products = [layer for layer in layers_of_run(model, batch) if "Conv" in layer.op or "MatMul" in layer.op]

    wanted = [batch * layer.flops for layer in layers_of(model)]
    assert sorted(layer.flops or 0 for layer in products) == sorted(wanted)


def test_the_head_begins_behind_the_last_iteration_where_no_product_tells() -> None:
    found = staged(graph_of_kind("em"), collapsed=False)

    assert layers(found) == ["stem", "primary capsules", "class capsules", *["routing"] * 5]
    assert [node.op for stage, node in found if stage == "head"] == HEAD
    assert {stage for stage, node in found if node.op in ("Log", "Exp", "Softplus")} == {"routing"}


def test_hidden_capsules_and_the_decoder_are_stages_of_their_own() -> None:
    network = random_network("l2", "network.hidden=[[6, 4], [5, 4]]", "network.decoder=[8]", "data.standardize=true")
    found = staged(to_onnx(deployable(network, decoder=True), SHAPE))

    assert layers(found) == [
        "stem", "primary capsules", "hidden capsules", "hidden capsules", "class capsules", "decoder", "decoder",
    ]  # fmt: skip
    assert order(found) == [*COLLAPSED[:4], "hidden capsules", *COLLAPSED[4:], "decoder"]
    assert {"ReduceMean", "Sqrt", "Div"} <= {node.op for stage, node in found if stage == "preprocess"}
    assert "ArgMax" in {node.op for stage, node in found if stage == "decoder"}


def test_a_graph_that_was_not_optimized_gives_its_weights_to_those_who_use_them() -> None:
    node = Node
    found = stages_of(
        Graph(
            (
                node("DequantizeLinear", "w1", "", ("c1", "s"), ("w1",)),
                node("Conv", "conv", "", ("image", "w1"), ("features",)),
                node("DequantizeLinear", "w2", "", ("c2", "s"), ("w2",)),
                node("Conv", "primary", "", ("features", "w2"), ("u",)),
                node("ReduceL2", "norm", "", ("u",), ("norm",)),
            ),
            weights=dict.fromkeys(("c1", "c2", "s"), Tensor("int8", (1,))),
            inputs=("image",),
            outputs=("norm",),
        ),
        collapsed=True,
        written=frozenset({"w1", "w2", "conv", "primary", "norm"}),
    )

    assert found == ("stem", "stem", "primary capsules", "primary capsules", "squash")
