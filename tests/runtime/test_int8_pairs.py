"""The bound on pairs of int8 products, against VPMADDUBSW computed number by number, and against foreign graphs."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from capsedge.contract import PAIR_LIMIT, Int8Pairs
from capsedge.errors import ModelError
from capsedge.runtime.int8_pairs import int8_pairs
from tests.runtime.int8_models import INT8, UINT8, model_of, quantized_product, saved

LARGEST_16_BITS, SMALLEST_16_BITS = 2**15 - 1, -(2**15)
WORST = Int8Pairs(largest=255 * 256, weight="w")


def pairs_of(model: onnx.ModelProto, folder: Path) -> Int8Pairs | None:
    return int8_pairs(saved(model, folder / "model.onnx"))


def by_hand(codes: NDArray[np.int8]) -> int:
    """Largest magnitude of a * v + b * w over all pairs of one output and activations of 0 or 255: [n, outputs]."""
    largest = 0
    for column in codes.T.astype(int).tolist():
        for v, w in combinations(column, 2):
            largest = max(largest, *(abs(a * v + b * w) for a in (0, 255) for b in (0, 255)))
    return largest


@given(codes=hnp.arrays(np.int8, st.tuples(st.integers(2, 6), st.integers(1, 4))))
def test_the_largest_sum_is_that_of_all_pairs_tried_one_by_one(
    codes: NDArray[np.int8], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = pairs_of(quantized_product(codes), tmp_path_factory.mktemp("pairs"))
    assert found == Int8Pairs(largest=by_hand(codes), weight="w")


@given(codes=hnp.arrays(np.int8, (8, 2), elements=st.integers(-90, 90)), order=st.permutations(range(8)))
def test_where_the_bound_fits_no_order_of_the_weights_saturates(
    codes: NDArray[np.int8], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = pairs_of(quantized_product(codes), tmp_path_factory.mktemp("pairs"))
    assert found is not None
    products = codes[order].astype(np.int64)[:, np.newaxis] * np.array([0, 255])[:, np.newaxis]
    sums = np.stack([products[::2, a] + products[1::2, b] for a in (0, 1) for b in (0, 1)])
    saturates = bool((sums > LARGEST_16_BITS).any() or (sums < SMALLEST_16_BITS).any())
    assert not (found.fit and saturates)


def test_7_bits_fit_always_and_one_code_more_does_not(tmp_path: Path) -> None:
    most = pairs_of(quantized_product(np.full((4, 3), -64, np.int8)), tmp_path)
    assert most == Int8Pairs(largest=32_640, weight="w")
    assert most.fit
    beyond = np.full((4, 3), 64, np.int8)
    beyond[2, 1] = 65
    found = pairs_of(quantized_product(beyond), tmp_path)
    assert found == Int8Pairs(largest=255 * 129, weight="w")
    assert not found.fit
    assert PAIR_LIMIT == LARGEST_16_BITS


@pytest.mark.parametrize(
    ("op", "shape", "attributes"),
    [("MatMul", (6, 2), {}), ("Gemm", (6, 2), {}), ("Gemm", (2, 6), {"transB": 1}), ("Conv", (2, 3, 1, 2), {})],
)
def test_outputs_are_columns_rows_or_filters_as_the_operator_has_it(
    op: str, shape: tuple[int, ...], attributes: dict[str, Any], tmp_path: Path
) -> None:
    """The first output has one weight of 100, the second two of 60: only a mix of both would pass the limit."""
    outputs = np.array([[100, 0, 0, 0, 0, 0], [60, 60, 0, 0, 0, 0]], np.int8)
    by_row = op == "Conv" or attributes
    codes = outputs.reshape(shape) if by_row else outputs.T.copy()
    assert pairs_of(quantized_product(codes, op=op, **attributes), tmp_path) == Int8Pairs(
        largest=255 * 120, weight="w"
    )


def test_a_weight_that_is_moved_first_counts_as_one_output(tmp_path: Path) -> None:
    codes = np.array([[100, 0], [0, 100]], np.int8)
    assert pairs_of(quantized_product(codes), tmp_path) == Int8Pairs(largest=25_500, weight="w")
    assert pairs_of(quantized_product(codes, moved="Transpose"), tmp_path) == Int8Pairs(largest=51_000, weight="w")


@pytest.mark.parametrize("activations", [INT8, UINT8])
def test_unsigned_weights_are_multiplied_exactly_everywhere(activations: int, tmp_path: Path) -> None:
    assert pairs_of(quantized_product(np.full((4, 2), 255, np.uint8), activations=activations), tmp_path) is None


def test_weights_that_are_only_stored_in_int8_are_multiplied_in_fp32(tmp_path: Path) -> None:
    codes: dict[str, NDArray[Any]] = {
        "w": np.full((4, 2), 127, np.int8),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.int8),
    }
    node = helper.make_node
    nodes = [node("DequantizeLinear", ["w", "one", "zero"], ["w_back"]), node("MatMul", ["x", "w_back"], ["y"])]
    assert pairs_of(model_of(nodes, codes, ("batch", 4)), tmp_path) is None


def test_a_product_of_two_activations_can_hold_anything(tmp_path: Path) -> None:
    constants: dict[str, NDArray[Any]] = {"one": np.array(1, np.float32), "zero": np.array(0, np.int8)}
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "one", "zero"], ["codes"]),
        node("DequantizeLinear", ["codes", "one", "zero"], ["back"]),
        node("MatMul", ["back", "back"], ["y"], name="square"),
    ]
    assert pairs_of(model_of(nodes, constants, ("n", "n")), tmp_path) == Int8Pairs(largest=65_280, weight="square")


@pytest.mark.parametrize("op", ["MatMulInteger", "ConvInteger"])
def test_integer_operators_are_looked_at_as_well(op: str, tmp_path: Path) -> None:
    shape = (4, 2) if op == "MatMulInteger" else (2, 4, 1, 1)
    nodes = [helper.make_node(op, ["x", "w"], ["y"])]
    shape_of_x = ("batch", 4) if op == "MatMulInteger" else ("batch", 4, 3, 3)
    model = model_of(nodes, {"w": np.full(shape, 70, np.int8)}, shape_of_x, (UINT8, TensorProto.INT32))
    assert pairs_of(model, tmp_path) == Int8Pairs(largest=255 * 140, weight="w")


def test_the_layer_with_the_largest_sum_is_named(tmp_path: Path) -> None:
    codes = {name: np.full((4, 2), code, np.int8) for name, code in (("v", 10), ("w", -90), ("u", 30))}
    node = helper.make_node
    nodes = [node("MatMulInteger", ["x", name], [f"by_{name}"]) for name in codes]
    nodes += [node("Sum", ["v_f", "w_f", "u_f"], ["y"])]
    nodes[3:3] = [node("Cast", [f"by_{name}"], [f"{name}_f"], to=TensorProto.FLOAT) for name in codes]
    model = model_of(nodes, codes, ("batch", 4), (UINT8, TensorProto.FLOAT))
    assert pairs_of(model, tmp_path) == Int8Pairs(largest=255 * 180, weight="w")


def test_weights_outside_of_the_file_count_as_8_bits(tmp_path: Path) -> None:
    model = quantized_product(np.full((40, 40), 3, np.int8))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="data", size_threshold=0)
    assert int8_pairs(tmp_path / "model.onnx") == WORST


def test_codes_in_a_field_of_integers_are_read_as_well(tmp_path: Path) -> None:
    codes = np.array([[-128, 5], [7, -1], [64, 64]], np.int8)
    model = quantized_product(codes)
    weight = next(each for each in model.graph.initializer if each.name == "w")
    weight.CopyFrom(helper.make_tensor("w", TensorProto.INT8, codes.shape, codes.ravel().tolist()))
    assert not weight.raw_data
    assert numpy_helper.to_array(weight).tolist() == codes.tolist()
    assert pairs_of(model, tmp_path) == Int8Pairs(largest=by_hand(codes), weight="w")


def negative_axes(model: onnx.ModelProto) -> None:
    weight = next(each for each in model.graph.initializer if each.name == "w")
    weight.dims[:] = [-4, -2]


def no_inputs(model: onnx.ModelProto) -> None:
    del next(each for each in model.graph.node if each.op_type == "DequantizeLinear" and "w" in each.input).input[:]


@pytest.mark.parametrize("damage", [negative_axes, no_inputs], ids=lambda damage: damage.__name__)
def test_a_damaged_graph_is_told_in_one_line(damage: Callable[[onnx.ModelProto], None], tmp_path: Path) -> None:
    model = quantized_product(np.full((4, 2), 3, np.int8))
    damage(model)
    with pytest.raises(ModelError, match=r"^the graph of '.*model.onnx' is damaged \(.*\): export or copy it again$"):
        pairs_of(model, tmp_path)


def test_a_graph_that_goes_in_a_circle_comes_to_an_end(tmp_path: Path) -> None:
    node = helper.make_node
    nodes = [node("Reshape", ["r", "shape"], ["r"]), node("MatMul", ["x", "r"], ["y"])]
    model = model_of(nodes, {"shape": np.array([4, 4])}, ("batch", 4))
    assert pairs_of(model, tmp_path) is None

    own_zero = [
        node("QuantizeLinear", ["x", "one", "q"], ["q"]),
        node("QLinearMatMul", ["q", "one", "q", "w", "one", "q", "one", "q"], ["y"]),
    ]
    model = model_of(own_zero, {"one": np.array(1, np.float32), "w": np.ones((4, 4), np.int8)}, ("batch", 4))
    assert pairs_of(model, tmp_path) is None  # signed by signed, as far as the graph shows


# The same weights of 127 on other ways to the product; each was run on an emulated Haswell, where its sums saturate.
WIDE = np.full((16, 16), 127, np.int8)
Q, DQ = "QuantizeLinear", "DequantizeLinear"


def on_another_way(
    *, before: tuple[str, ...] = (), between: tuple[str, ...] = (), constant: bool = False, pooled: bool = False
) -> onnx.ModelProto:
    """Such a product.

    Args:
        before: Operators between the codes and DequantizeLinear.
        between: Operators between DequantizeLinear and the product.
        constant: Whether the codes are those of a Constant node.
        pooled: Whether the activations are sliced after they were dequantized.
    """
    node = helper.make_node
    one, zero = np.array(1, np.float32), np.array(0, np.int8)
    constants: dict[str, NDArray[Any]] = {"one": one, "zero": zero, "zeros": np.array([0]), "ends": np.array([99])}
    nodes, name = [], "w"
    if constant:
        nodes.append(node("Constant", [], ["w"], value=numpy_helper.from_array(WIDE)))
    else:
        constants["w"] = WIDE
    for op in before:
        nodes.append(node(op, [name], [f"{name}_"]))
        name += "_"
    nodes.append(node(DQ, [name, "one", "zero"], ["w_back"]))
    name = "w_back"
    for op in between:
        nodes.append(node(op, [name], [f"{name}_"]))
        name += "_"
    nodes += [node(Q, ["x", "one", "zero"], ["codes"]), node(DQ, ["codes", "one", "zero"], ["back"])]
    if pooled:
        nodes.append(node("Slice", ["back", "zeros", "ends"], ["part"]))
    nodes += [node("MatMul", ["part" if pooled else "back", name], ["y"])]
    return model_of(nodes, constants, (8, 16))


FOLLOWED = Int8Pairs(largest=255 * 254, weight="w")


@pytest.mark.parametrize(
    ("way", "wanted"),
    [
        ({"constant": True}, FOLLOWED),
        ({"before": ("Identity",)}, FOLLOWED),
        ({"before": ("Transpose",)}, FOLLOWED),
        ({"between": ("Identity",)}, FOLLOWED),
        ({"pooled": True}, FOLLOWED),
        ({"before": ("Neg",)}, WORST),  # integers that are computed
        ({"between": ("Neg",)}, None),  # as in dynamic routing: the product is one of fp32
    ],
    ids=str,
)
def test_other_ways_to_the_product_are_followed(
    way: dict[str, Any], wanted: Int8Pairs | None, tmp_path: Path
) -> None:
    assert pairs_of(on_another_way(**way), tmp_path) == wanted


def test_quantized_layers_in_a_branch_count_as_the_worst(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    inner = on_another_way().graph
    branch = helper.make_graph(
        list(inner.node), "branch", [], [value("y", TensorProto.FLOAT, None)], inner.initializer
    )
    node = helper.make_node("If", ["flag"], ["z"], then_branch=branch, else_branch=branch)
    model = model_of([node], {"flag": np.array(True)}, (8, 16))
    assert pairs_of(model, tmp_path) == Int8Pairs(largest=65_280, weight="(a graph within a node, or a function)")


@pytest.mark.parametrize(("kind", "wanted"), [(np.int8, None), (np.uint8, Int8Pairs(largest=255 * 254, weight="w"))])
def test_qlinear_operators_compute_as_they_are_written(kind: type, wanted: Int8Pairs | None, tmp_path: Path) -> None:
    """Signed with signed is exact on every processor (ONNX Runtime 1.31.1 on an emulated Haswell)."""
    zero: NDArray[Any] = np.array(0, kind)
    constants: dict[str, NDArray[Any]] = {"one": np.array(1, np.float32), "zero": zero, "w": WIDE, "y_zero": zero}
    constants["w_zero"] = np.array(0, np.int8)
    inputs = ["x", "one", "zero", "w", "one", "w_zero", "one", "y_zero"]
    model = model_of([helper.make_node("QLinearMatMul", inputs, ["y"])], constants, (8, 16), (UINT8, UINT8))
    assert pairs_of(model, tmp_path) == wanted


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (3, 0)])
def test_a_single_weight_and_none_at_all_have_no_pair_to_fail(shape: tuple[int, int], tmp_path: Path) -> None:
    found: Any = pairs_of(quantized_product(np.full(shape, -128, np.int8)), tmp_path)
    assert found.largest == (255 * 128 if shape == (1, 3) else 0)
