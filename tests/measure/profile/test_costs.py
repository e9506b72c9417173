"""Operations and bytes, against counts by hand and against the layers that export reads from a file."""

import math

import pytest

from capsedge.measure.profile.costs import cost_of
from capsedge.measure.profile.report import LayerTime
from capsedge.onnx_lite.graph import Node
from capsedge.onnx_lite.tensor import Tensor
from tests.measure.profile.recorded import layers_of_run
from tests.runtime.capsule_model import graph


def recorded_layers(batch: int) -> list[LayerTime]:
    """The small network's, of a real run."""
    return layers_of_run(graph(), batch)


def floats(*shape: int) -> Tensor:
    return Tensor("float", shape)


@pytest.mark.parametrize(
    ("op", "integers", "inputs", "output", "flops"),
    [
        # 3 x 4 results, each of 5 products and 5 sums
        ("MatMul", {}, [floats(3, 5), floats(5, 4)], floats(3, 4), 2 * 3 * 4 * 5),
        ("Gemm", {"transA": 1}, [floats(5, 3), floats(5, 4)], floats(3, 4), 2 * 3 * 4 * 5),
        # the batch of 7 stands behind the 3 rows, and the rows behind the depth
        ("FusedMatMul", {"transBatchA": 1}, [floats(3, 7, 5), floats(7, 5, 4)], floats(7, 3, 4), 2 * 7 * 3 * 4 * 5),
        (
            *("FusedMatMul", {"transBatchA": 1, "transA": 1}),
            *([floats(5, 7, 3), floats(7, 5, 4)], floats(7, 3, 4), 2 * 7 * 3 * 4 * 5),
        ),
        # Table I's first layer: 256 filters of 9x9 on one channel, 20x20 places
        ("Conv", {}, [floats(1, 1, 28, 28), floats(256, 1, 9, 9)], floats(1, 256, 20, 20), 2 * 256 * 400 * 81),
        ("Add", {}, [floats(2, 3), floats(3)], floats(2, 3), 6),
        ("ReduceL2", {}, [floats(2, 3)], floats(2, 1), 12),
        ("Reshape", {}, [floats(2, 3)], floats(6), 0),
        ("Transpose", {}, [floats(2, 3)], floats(3, 2), 0),
        ("SomebodysOwn", {}, [floats(2, 3)], floats(6), None),
    ],
)
def test_operations_are_those_that_one_counts_by_hand(
    op: str, integers: dict[str, int], inputs: list[Tensor | None], output: Tensor, flops: int | None
) -> None:
    assert cost_of(Node(op, "n", integers=integers), inputs, [output]).flops == flops


def test_bytes_are_those_of_weights_and_activations_each_once() -> None:
    codes, weight, bias = Tensor("uint8", (1, 100)), Tensor("int8", (100, 10)), Tensor("int32", (10,))
    inputs = [codes, floats(), Tensor("uint8", ()), weight, floats(10), Tensor("int8", (10,)), bias, None, None]
    constant = [False, *[True] * 8]
    cost = cost_of(Node("QGemm", "classes"), inputs, [Tensor("float", (1, 10))], constant)

    assert cost.weight_bytes == 4 + 1 + 1000 + 40 + 10 + 40
    assert cost.activation_bytes == 100 + 40
    assert (cost.kind, cost.flops) == ("int8", 2 * 10 * 100)


def test_new_axes_are_free() -> None:
    assert (
        cost_of(Node("Reshape", "r"), [floats(2, 3), Tensor("int64", (1,))], [floats(6)], [False, True]).size_bytes
        == 0
    )


def test_the_weights_of_a_real_run_are_those_of_the_file() -> None:
    model = graph()
    (gemm,) = (layer for layer in recorded_layers(1) if layer.op == "Gemm")

    numbers = sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.name.startswith("classes."))
    assert gemm.weight_bytes == 4 * numbers
    assert gemm.activation_bytes == 4 * (36 * 2 * 4 + 10 * 16)
