"""The emulation of 16-bit and fp8 graphs gives what onnx's reference implementation gives in the true types."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from capsedge.export.graph import types_of
from capsedge.export.precision import TypedGraphs, emulated, emulated_types
from capsedge.export.precision.half import in_half

Images = NDArray[np.uint8]
Run = Callable[[onnx.ModelProto, Images], NDArray[np.float32]]


@pytest.fixture(scope="module")
def typed(graph: onnx.ModelProto, images: Images) -> TypedGraphs:
    return TypedGraphs(graph, lambda: images, lambda *_: (0.0, 0.0))


# Where a code of 8 bits lies on the edge between two, the order of a sum decides: a step of one code is no error.
@pytest.mark.parametrize(("precision", "close"), [("fp16", 2e-3), ("bf16", 1e-6), ("fp8", 1e-6), ("int8+fp16", 0.02)])
def test_it_agrees_with_the_reference_implementation(
    precision: str, close: float, typed: TypedGraphs, images: Images, run: Run
) -> None:
    model = typed.make(precision).model  # type: ignore[arg-type]  # a parameter of the test
    assert emulated_types(model) == {precision.removeprefix("int8+")}
    theirs = np.asarray(next(iter(ReferenceEvaluator(model).run(["lengths"], {"image": images[:6]}))))
    ours = run(emulated(model), images[:6])
    in_fp32 = run(typed.model, images[:6])
    assert np.abs(ours - theirs).max() < close
    assert np.abs(ours - in_fp32).max() > 1e-5  # it did round
    if precision in ("bf16", "fp8"):  # of fp16 numpy rounds the sums too
        assert np.abs(ours - theirs).max() < np.abs(in_fp32 - theirs).max() / 2


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_what_the_cpu_truly_computes_needs_none(precision: str, typed: TypedGraphs) -> None:
    assert not emulated_types(typed.make(precision).model)  # type: ignore[arg-type]


def test_an_overflow_of_fp16_is_seen(graph: onnx.ModelProto, images: Images, run: Run) -> None:
    loud = onnx.ModelProto()
    loud.CopyFrom(graph)
    for constant in loud.graph.initializer:
        if constant.name == "capsules.primary.bias":
            values = np.full(constant.dims, 60_000, np.float32)
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
        if constant.name == "capsules.stem.conv.bias":
            values = np.full(constant.dims, 3_000, np.float32)
            constant.CopyFrom(onnx.numpy_helper.from_array(values, constant.name))
    assert np.isfinite(run(loud, images[:2])).all()
    assert not np.isfinite(run(emulated(in_half(loud, "fp16")), images[:2])).all()


def test_an_emulated_graph_holds_its_small_types_between_two_casts_only(typed: TypedGraphs) -> None:
    model = emulated(typed.make("fp8").model)
    types = types_of(model)
    small = {name for name, kind in types.items() if kind == TensorProto.FLOAT8E4M3FN}
    assert small
    for node in model.graph.node:
        if small & {*node.input, *node.output}:
            assert node.op_type == "Cast"
