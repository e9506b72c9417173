"""Stems of many convolutions in every precision: types, codes, proofs, and what the runtimes make of them."""

from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from capsedge.contract import PAIR_LIMIT, Precision
from capsedge.export import RunExport
from capsedge.export.gate import tolerance_of
from capsedge.export.graph import types_of
from capsedge.export.layers import layers_of
from capsedge.export.precision import METHODS, TypedGraphs, emulated, emulated_types
from capsedge.export.tensorrt import lint
from capsedge.export.tensorrt.worker import Build, Built, work
from capsedge.recipe import load_recipe
from capsedge.runtime.int8_pairs import int8_pairs
from tests.export.exact import exact_lengths, patchwork
from tests.export.graphs import graph_of
from tests.export.stems import BLOCKS, WIDTHS, stem_network
from tests.export.typed_files import typed_file, verdict_in
from tests.measure.profile.recorded import optimized
from tests.tiny import train_tiny

Images = NDArray[np.uint8]
STEMS = ("separable", "residual", "repvgg")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8", "int8+fp16", "fp8")


@cache
def typed_graphs(stem: str) -> TypedGraphs:
    graph = graph_of(stem_network(stem))
    return TypedGraphs(graph, lambda: patchwork(40, 28, 1, seed=0), lambda *_: (0.0, 0.0), METHODS[:1])


def typed(stem: str, precision: Precision) -> onnx.ModelProto:
    return typed_graphs(stem).make(precision).model


def saved(stem: str, precision: Precision, folder: Path) -> Path:
    file = folder / f"{stem}.{precision}.onnx"
    onnx.save(typed(stem, precision), file)
    return file


def lengths(model: onnx.ModelProto, images: Images) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(["lengths"], {"image": images})[0])


def constants(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {constant.name: numpy_helper.to_array(constant) for constant in model.graph.initializer}


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_layer_is_in_the_type_that_was_asked_for_and_close_to_the_network(
    precision: Precision, stem: str
) -> None:
    model = typed(stem, precision)
    assert {layer.type for layer in layers_of(model)} == {precision.removesuffix("+fp16")}
    images = patchwork(40, 28, 1, seed=1)
    wanted = exact_lengths(stem_network(stem), images)
    assert wanted.std(0).min() > 1e-3  # images that tell networks apart
    given = lengths(emulated(model) if emulated_types(model) else model, images)
    limits = tolerance_of(precision)
    assert np.abs(given - wanted).max() < limits.length
    share = 0.4 if precision == "fp8" else 0.2  # of what the images differ by
    assert np.abs(given - wanted).mean() < min(limits.mean_length, share * wanted.std(0).mean())


@pytest.mark.parametrize("stem", STEMS)
def test_no_two_int8_products_of_any_layer_leave_16_bits(stem: str, tmp_path: Path) -> None:
    found = int8_pairs(saved(stem, "int8", tmp_path))
    assert found is not None
    largest = 0
    for name, codes in constants(typed(stem, "int8")).items():
        if codes.dtype == np.int8 and codes.ndim > 1:
            by_output = codes.reshape(len(codes), -1) if codes.ndim == 4 else codes.T
            rows = np.sort(by_output.astype(int), axis=1)
            ends = np.concatenate([rows[:, -2:].clip(0).sum(1), -rows[:, :2].clip(None, 0).sum(1)])
            largest = max(largest, 255 * int(ends.max()))
            assert "weight" in name
    assert found.largest == largest <= PAIR_LIMIT


def test_onnxruntime_computes_every_layer_and_sum_of_an_int8_stem_in_int8() -> None:
    """Nothing is dequantized for a convolution in fp32, and no weight is dequantized in every run."""
    wanted = {
        # Where two read the ReLU of a map, that is in fp32: of the two blocks here that add what came in or change
        # its shape. Elsewhere it is QLinearLeakyRelu.
        "separable": {"QLinearConv": 6, "QLinearAdd": 1, "QGemm": 1, "Relu": 1, "QLinearLeakyRelu": 4},
        "residual": {"QLinearConv": 7, "QLinearAdd": 2, "QGemm": 1, "Relu": 2, "QLinearLeakyRelu": 3},
        "repvgg": {"QLinearConv": 4, "QLinearAdd": 0, "QGemm": 1, "Relu": 0, "QLinearLeakyRelu": 3},
    }
    for stem, counts in wanted.items():
        graph = optimized(typed(stem, "int8"))
        operators = Counter(node.op for node in graph.nodes)
        assert {op: operators[op] for op in counts} == counts
        assert operators["Conv"] == operators["FusedConv"] == operators["Gemm"] == operators["Transpose"] == 0
        assert not any(node.op == "DequantizeLinear" and node.inputs[0] in graph.weights for node in graph.nodes)


@pytest.mark.parametrize("stem", STEMS)
def test_the_int8_kernels_give_what_the_standard_says(stem: str) -> None:
    """onnx's reference computes pairs in fp32; what lies on the edge of two codes may fall to either."""
    model, images = typed(stem, "int8"), patchwork(12, 28, 1, seed=2)
    (wanted,) = ReferenceEvaluator(model).run(["lengths"], {"image": images})
    assert np.abs(lengths(model, images) - np.asarray(wanted)).mean() < 2e-3


def test_sums_of_maps_are_in_fp16_and_those_of_squash_in_fp32() -> None:
    for precision, kind in (("fp16", TensorProto.FLOAT16), ("int8+fp16", TensorProto.FLOAT16)):
        model = typed("residual", precision)  # type: ignore[arg-type]
        types = types_of(model)
        sums = [types[node.output[0]] for node in model.graph.node if node.op_type == "Add"]
        assert sums == [kind, kind, TensorProto.FLOAT, TensorProto.FLOAT]


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "int8+fp16", "fp8"])
def test_tensorrt_builds_it_and_lint_finds_nothing(precision: Precision, stem: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    file, engine = saved(stem, precision, tmp_path), tmp_path / "engine"
    targets = ("sm89",) if precision == "fp8" else ("sm86",)

    assert lint(file, targets).findings == ()
    built = work(Build(package="tensorrt_rtx", onnx=str(file), engine=str(engine), targets=targets, batch=(1, 2, 8)))

    assert isinstance(built, Built)
    assert built.errors == ()
    assert engine.stat().st_size > 10_000


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> RunExport:
    """Exports a trained network with a residual stem."""
    sizes = ("data.source=fashion-mnist-subset", "train.precision=fp32", "train.epochs=3", "train.batch_size=64")
    recipe = load_recipe("fashion-mnist-l2-small", ["network.stem=residual", *BLOCKS, *WIDTHS, *sizes])
    return RunExport(train_tiny(tmp_path_factory.mktemp("residual") / "run", recipe))


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_gate_accepts_a_trained_network(precision: Precision, exporter: RunExport) -> None:
    contract = exporter.export(precision).contract
    assert verdict_in(contract).status == "accepted"
    assert len(contract.layers) == 8
    if precision == "int8":
        assert contract.int8_pairs is not None
        assert contract.int8_pairs.largest <= PAIR_LIMIT
    images = patchwork(20, 28, 1, seed=3)
    with torch.no_grad():
        wanted = exact_lengths(exporter.run.load_best(), images)
    given = lengths(onnx.load_model(str(typed_file(exporter.run, precision))), images)
    assert np.abs(given - wanted).mean() < {"fp32": 1e-5, "fp16": 1e-3, "int8": 0.02}[precision]
