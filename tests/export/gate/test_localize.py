"""Where a difference starts, on small graphs whose results are computed a second time by onnx's own evaluator."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from capsedge.export.gate import TOLERANCES, NodeDifference, Trace, localize
from capsedge.export.precision.half import in_half

FP32, INT8 = TOLERANCES["fp32"], TOLERANCES["int8"]
IMAGES = np.random.default_rng(0).integers(1, 256, (5, 2, 3, 1), np.uint8)
WEIGHTS = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
LAST = np.random.default_rng(2).normal(size=(4, 4)).astype(np.float32)

Node = onnx.NodeProto


def node(op: str, inputs: Iterable[str], output: str, **attributes: Any) -> Node:
    return helper.make_node(op, list(inputs), [output], name=f"node_{output}", **attributes)


NODES = (
    node("Cast", ["image"], "floats", to=TensorProto.FLOAT),
    node("Mul", ["floats", "scale"], "scaled"),
    node("Reshape", ["scaled", "shape"], "flat"),
    node("Gemm", ["flat", "first.weight"], "first"),
    node("Relu", ["first"], "relu"),
    node("Gemm", ["relu", "last.weight"], "last"),
    node("Mul", ["last", "last"], "squared"),
    node("Add", ["squared", "one"], "more"),
    node("Div", ["squared", "more"], "lengths"),
    node("Div", ["last", "more"], "poses"),
)
CONSTANTS: dict[str, Any] = {
    "scale": np.float32(1 / 255),
    "shape": np.array([-1, 6]),
    "first.weight": WEIGHTS,
    "last.weight": LAST,
    "one": np.float32(1),
}


def graph(nodes: Iterable[Node] = NODES, *, batch: str | int = "batch", **constants: Any) -> onnx.ModelProto:
    """The network, with other nodes or constants; a dot in a constant's name is written as two underscores."""
    values = CONSTANTS | {name.replace("__", "."): value for name, value in constants.items()}
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, [batch, 2, 3, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 4]) for name in ("lengths", "poses")],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def replaced(**instead: Node | tuple[Node, ...]) -> list[Node]:
    """The nodes, with others in the place of those that make the named tensors."""
    nodes: list[Node] = []
    for old in NODES:
        new = instead.get(old.output[0], old)
        nodes += new if isinstance(new, tuple) else (new,)
    return nodes


def by_tensor(trace: Trace) -> dict[str, NodeDifference]:
    return {row.tensor: row for row in trace.nodes}


def results(model: onnx.ModelProto, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Inner results, by onnx's evaluator."""
    wanted = list(names)
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted)
    return dict(
        zip(wanted, ReferenceEvaluator(exposed).run(None, {"image": IMAGES[[0, 1, 2, 3, 4, 0]]}), strict=True)
    )


def test_each_difference_is_that_of_the_norms_over_all_images() -> None:
    other = graph(first__weight=WEIGHTS * np.float32(1.1))
    trace = localize(graph(), other, IMAGES, FP32)

    names = [each.output[0] for each in NODES]
    assert [row.tensor for row in trace.nodes] == names
    assert trace.images == 5
    wanted, given = results(graph(), names), results(other, names)
    for row in trace.nodes:
        a, b = wanted[row.tensor].astype(np.float64), given[row.tensor].astype(np.float64)
        assert row.difference == pytest.approx(np.linalg.norm(a - b) / np.linalg.norm(a), rel=1e-4, abs=1e-7)
        assert row.read == row.difference


def test_the_same_graph_has_no_start() -> None:
    assert localize(graph(), graph(), IMAGES, FP32).outcome == "no-node"


@pytest.mark.parametrize(
    ("other", "start"),
    [
        (graph(scale=np.float32(1 / 127)), "Mul 'node_scaled' of 'scale', whose output differs by 101 %"),
        (
            graph(first__weight=WEIGHTS[:, ::-1].copy()),
            "Gemm 'node_first' of 'first.weight', whose output differs by",
        ),
        (graph(last__weight=LAST.T.copy()), "Gemm 'node_last' of 'last.weight', whose output differs by"),
        (graph(one=np.float32(2)), "Add 'node_more' of 'one', whose output differs by"),
        (graph(replaced(relu=node("Identity", ["first"], "relu"))), "Identity 'node_relu', whose output differs"),
    ],
    ids=["scale", "first weight", "last weight", "constant", "missing activation"],
)
@pytest.mark.parametrize("tolerance", [FP32, INT8], ids=["fp32", "int8"])
def test_the_first_node_that_differs_is_named(other: onnx.ModelProto, start: str, tolerance: Any) -> None:
    found = localize(graph(), other, IMAGES, tolerance).starts_at
    assert found.startswith(start)
    assert found.endswith("and whose input differs by 0 %")


def test_what_is_rounded_before_the_fault_is_not_named() -> None:
    noisy = WEIGHTS + np.random.default_rng(3).normal(size=WEIGHTS.shape).astype(np.float32) * 0.05
    other = graph(first__weight=noisy, last__weight=LAST[:, ::-1].copy())
    assert localize(graph(), other, IMAGES, INT8).starts_at.startswith("Gemm 'node_last' of 'last.weight'")
    assert localize(graph(), other, IMAGES, FP32).starts_at.startswith("Gemm 'node_first' of 'first.weight'")


def test_where_no_node_stands_out_the_one_that_adds_most_is_named() -> None:
    """0.9 of the scale is 10 % less at the first node, and 19 % less where it is squared, which adds 9 % to it."""
    found = localize(graph(), graph(scale=np.float32(0.9 / 255)), IMAGES, INT8).starts_at
    assert found.startswith(
        "Mul 'node_scaled' of 'scale', whose output differs by 10 % and whose input differs by 0 %"
    )
    assert found.endswith("; no single node stands out, this one adds most")


def in_fp16(first: np.ndarray = WEIGHTS) -> onnx.ModelProto:
    nodes = replaced(
        first=(
            node("Cast", ["flat"], "flat_fp16", to=TensorProto.FLOAT16),
            node("Gemm", ["flat_fp16", "first.weight"], "first_fp16"),
            node("Cast", ["first_fp16"], "first", to=TensorProto.FLOAT),
        )
    )
    return graph(nodes, first__weight=first.astype(np.float16))


def test_a_cast_stands_for_what_it_casts() -> None:
    rows = by_tensor(localize(graph(), in_fp16(), IMAGES, FP32))
    assert rows["flat"].difference == 0
    assert rows["flat"].read is not None
    assert 1e-5 < rows["flat"].read < 1e-3  # eleven bits
    assert rows["first"].node == "Gemm 'node_first_fp16'"


def test_rounding_to_fp16_is_no_fault_in_fp16_and_a_wrong_weight_is() -> None:
    assert "stands out" in localize(graph(), in_fp16(), IMAGES, TOLERANCES["fp16"]).starts_at
    found = localize(graph(), in_fp16(WEIGHTS * 1.5), IMAGES, TOLERANCES["fp16"]).starts_at
    assert found.startswith("Gemm 'node_first_fp16' of 'first.weight', whose output differs by 50 %")


def test_a_file_whose_type_this_machine_has_not_is_traced_as_its_emulation() -> None:
    typed = in_half(graph(last__weight=LAST * 2), "bf16")
    rows = by_tensor(localize(graph(), typed, IMAGES, TOLERANCES["bf16"]))
    first = rows["first"].difference
    assert first is not None
    assert 1e-4 < first < 1e-2  # eight bits
    found = localize(graph(), typed, IMAGES, TOLERANCES["bf16"]).starts_at
    assert found.startswith("Gemm 'node_last' of 'last.weight', whose output differs by 100 %")


def test_a_file_that_is_no_sound_graph_says_why() -> None:
    typed = in_half(graph(), "fp16")
    typed.graph.node[3].input[0] = "nowhere"
    found = localize(graph(), typed, IMAGES, TOLERANCES["fp16"]).starts_at
    assert found.startswith("cannot be traced: its graph is invalid: ")
    assert "\n" not in found


def in_int8(
    weights: np.ndarray = WEIGHTS, *, flat: float = 1 / 127, first: float = 8 / 127, relu: float = 8 / 127
) -> onnx.ModelProto:
    """Q and DQ around the first product and behind the ReLU, with these scales; one scale a column of the weights."""
    scale = np.abs(weights).max(0) / np.float32(127)
    codes = np.rint(weights / scale).astype(np.int8)
    pairs = {"flat": flat, "first": first, "relu": relu}
    around = {
        name: (
            node("QuantizeLinear", [name, f"{name}_scale", "zero"], f"{name}_q"),
            node("DequantizeLinear", [f"{name}_q", f"{name}_scale", "zero"], f"{name}_dq"),
        )
        for name in pairs
    }
    nodes: list[Node] = []
    for each in NODES:
        changed = Node()
        changed.CopyFrom(each)
        for index, name in enumerate(each.input):
            if name in pairs:
                changed.input[index] = f"{name}_dq"
        if each.output[0] == "first":
            nodes.append(node("DequantizeLinear", ["first.codes", "first.codes_scale"], "first.weight_dq", axis=1))
            changed.input[1] = "first.weight_dq"
        nodes += [changed, *around.get(each.output[0], ())]
    scales: dict[str, Any] = {f"{name}_scale": np.float32(value) for name, value in pairs.items()}
    return graph(nodes, **scales, zero=np.int8(0), first__codes=codes, first__codes_scale=scale)


def test_quantization_at_its_best_is_no_fault_in_int8() -> None:
    assert localize(graph(), in_int8(), IMAGES, INT8).starts_at.endswith(
        "no single node stands out, this one adds most"
    )


def test_a_wrong_activation_scale_is_named_as_the_quantization_and_not_as_the_node_that_reads_it() -> None:
    trace = localize(graph(), in_int8(flat=0.3 / 127), IMAGES, INT8)
    assert trace.starts_at.startswith("QuantizeLinear 'node_flat_q' of 'flat_scale', whose output differs by")
    assert trace.starts_at.endswith("and whose input differs by 0 %")
    row = by_tensor(trace)["flat"]
    assert row.difference == 0
    assert row.read is not None
    assert row.read > 0.15


def test_a_wrong_weight_scale_is_named_as_the_product_that_holds_it() -> None:
    model = in_int8()
    (scale,) = [each for each in model.graph.initializer if each.name == "first.codes_scale"]
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(2), scale.name))
    found = localize(graph(), model, IMAGES, INT8).starts_at
    assert found.startswith("Gemm 'node_first' of 'first.codes', whose output differs by 1")


def test_what_is_cut_before_a_relu_and_would_be_zero_behind_it_is_no_fault() -> None:
    """A range may end where the ReLU does: what is before it differs by much, and nothing behind it."""
    weights = WEIGHTS.copy()
    weights[:, :2], weights[:, 2:] = -20 * np.abs(weights[:, :2]), np.abs(weights[:, 2:])
    most = float((IMAGES.reshape(5, 6) / 255 @ weights).max())
    trace = localize(graph(first__weight=weights), in_int8(weights, first=most / 127, relu=most / 127), IMAGES, INT8)
    rows = by_tensor(trace)
    first, relu = rows["first"].read, rows["relu"].read
    assert first is not None
    assert relu is not None
    assert (first > 0.5, relu < 0.1) == (True, True)
    assert trace.starts_at.endswith("no single node stands out, this one adds most")


def test_nodes_that_were_fused_are_passed_over() -> None:
    """The file has no tensor `squared`; what `more` is computed from is then `last`."""
    fused = replaced(
        squared=node("Mul", ["last", "last"], "a"),
        more=node("Add", ["a", "one"], "more"),
        lengths=node("Div", ["a", "more"], "lengths"),
    )
    trace = localize(graph(), graph(fused, last__weight=LAST * 2), IMAGES, FP32)
    assert "squared" not in by_tensor(trace)
    assert trace.starts_at.startswith("Gemm 'node_last'")

    noisy = graph(fused, scale=np.float32(0.9 / 255), one=np.float32(4))
    found = localize(graph(), noisy, IMAGES, INT8).starts_at
    assert found.startswith("Add 'node_more' of 'one', whose output differs by")
    assert found.endswith("and whose input differs by 10 %")


def test_a_graph_that_shares_no_names_cannot_be_traced() -> None:
    renamed = []
    for each in NODES:
        other = Node()
        other.CopyFrom(each)
        for names in (other.input, other.output):
            for index, name in enumerate(names):
                if name not in ("image", "lengths", "poses", *CONSTANTS):
                    names[index] = f"{name}.1"
        renamed.append(other)
    trace = localize(graph(), graph(renamed, last__weight=LAST * 2), IMAGES, FP32)
    assert trace.outcome == "untraceable"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (graph(shape=np.array([1, 6])), "Reshape 'node_flat': The input tensor cannot be reshaped"),
        (graph(first__weight=WEIGHTS[:5]), "node_first"),
        (graph(replaced(relu=node("NoSuchThing", ["first"], "relu"))), "NoSuchThing"),
    ],
    ids=["batch of one baked in", "shape", "operator"],
)
def test_a_graph_that_does_not_run_says_why(other: onnx.ModelProto, reason: str) -> None:
    trace = localize(graph(), other, IMAGES, FP32)
    assert trace.outcome == "untraceable"
    assert reason in trace.starts_at
    assert "\n" not in trace.starts_at
    assert trace.nodes == ()


def test_nan_and_another_shape_count_as_infinite() -> None:
    broken = WEIGHTS.copy()
    broken[0, 0] = np.nan
    trace = localize(graph(), graph(first__weight=broken), IMAGES, FP32)
    assert trace.starts_at.startswith(
        "Gemm 'node_first' of 'first.weight', whose output differs by an undefined amount"
    )
    assert by_tensor(trace)["first"].difference is None
    assert msgspec.json.decode(msgspec.json.encode(trace), type=Trace) == trace

    reshaped = replaced(
        flat=(node("Reshape", ["scaled", "axes"], "flat"), node("Reshape", ["flat", "shape"], "again")),
        first=node("Gemm", ["again", "first.weight"], "first"),
    )
    trace = localize(graph(), graph(reshaped, axes=np.array([-1, 2, 3])), IMAGES, FP32)
    assert by_tensor(trace)["flat"].difference is None
    assert trace.starts_at.startswith("Reshape 'node_flat', whose output differs by an undefined amount")


def test_a_graph_of_one_batch_size_is_traced_in_it() -> None:
    other = graph(batch=3, last__weight=LAST * 2)
    assert localize(graph(), other, IMAGES, FP32).starts_at.startswith("Gemm 'node_last'")


def test_black_images_are_compared_too() -> None:
    """Their first results are zero: no difference of nothing from nothing is a number."""
    black = np.zeros_like(IMAGES)
    assert localize(graph(), graph(), black, FP32).starts_at.startswith("no node")
    shifted = replaced(scaled=node("Add", ["floats", "scale"], "scaled"))
    assert localize(graph(), graph(shifted), black, FP32).starts_at.startswith("Add 'node_scaled'")
