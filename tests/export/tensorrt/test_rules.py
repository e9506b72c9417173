"""Each rule finds its node and nothing else, and the real parser of TensorRT-RTX agrees with it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from capsedge.contract import PRECISIONS, Precision
from capsedge.export.tensorrt.process import run_worker
from capsedge.export.tensorrt.rules import LintFinding, apply_rules
from capsedge.export.tensorrt.worker import Build, Built, Parse, Parsed
from tests.export.tensorrt.graphs import typed
from tests.export.tensorrt.refused import READ_OTHERWISE, REFUSED, fixed_batch, node, zero_point


def refused(model: onnx.ModelProto) -> list[LintFinding]:
    return [finding for finding in apply_rules(model) if finding.severity == "refused"]


def parsed(model: onnx.ModelProto, folder: Path) -> Parsed:
    pytest.importorskip("tensorrt_rtx")
    onnx.save(model, folder / "m.onnx")
    return run_worker(Parse(package="tensorrt_rtx", onnx=str(folder / "m.onnx")), Parsed)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_good_file_has_no_findings(precision: Precision, tmp_path: Path) -> None:
    assert apply_rules(typed(precision), targets=["sm89"]) == []
    said = parsed(typed(precision), tmp_path)
    assert said.supported
    assert (said.refusals, said.warnings) == ((), ())


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_parser_refuses_the_rules_refuse_with_the_same_node(case: str, tmp_path: Path) -> None:
    make, name = REFUSED[case]
    model = make()
    onnx.checker.check_model(model)
    positions = {each.name: position for position, each in enumerate(model.graph.node)}
    said = parsed(model, tmp_path)

    assert name in {finding.node for finding in refused(model)}
    assert not said.supported
    assert positions[name] in {refusal.node for refusal in said.refusals}


@pytest.mark.parametrize("case", READ_OTHERWISE)
def test_what_the_parser_takes_for_int8_is_refused(case: str, tmp_path: Path) -> None:
    model = READ_OTHERWISE[case]()
    onnx.checker.check_model(model)
    said = parsed(model, tmp_path)

    assert {finding.node for finding in refused(model)} >= {"nchw_quantized"}
    assert "uint8" in refused(model)[0].reason
    assert said.supported  # which is why the rule is needed
    assert said.refusals == ()


@pytest.mark.parametrize("kind", [np.int16, np.uint16])
def test_sixteen_bits_are_refused(kind: type[np.generic], tmp_path: Path) -> None:
    model = zero_point(0, kind)
    said = parsed(model, tmp_path)

    assert {finding.node for finding in refused(model)} == {"nchw_quantized", "nchw_dequantized"}
    assert "16 bits" in refused(model)[0].reason
    assert not said.supported
    assert "nchw_zero" in said.refusals[0].reason


def test_a_fixed_batch_is_a_warning_and_the_engine_runs_no_other(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    (finding,) = apply_rules(fixed_batch())
    assert (finding.node, finding.severity) == ("image", "warning")
    assert "only batches of 3" in finding.reason

    onnx.save(fixed_batch(), tmp_path / "m.onnx")
    for batch, builds in (((3, 3, 3), True), ((1, 3, 4), False)):
        job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=batch)
        assert (run_worker(job, Built).errors == ()) is builds


@pytest.mark.parametrize(
    ("precision", "target", "nodes"),
    [
        ("fp32", "sm75", ["classes"]),
        ("int8", "sm75", ["classes_stored"]),
        ("bf16", "sm75", ["conv", "classes"]),
        ("fp8", "sm86", ["conv_stored", "classes_stored"]),
        ("fp16", "sm75", []),
    ],
)
def test_a_type_that_a_target_cannot_compute_is_refused_layer_by_layer(
    precision: Precision, target: str, nodes: list[str]
) -> None:
    found = [finding for finding in apply_rules(typed(precision), [target]) if finding.severity == "refused"]

    assert [finding.node for finding in found] == nodes
    assert all(finding.advice.startswith(f"for {target}, use ") for finding in found)


def test_classic_tensorrt_computes_fp32_products_where_tensorrt_rtx_does_not() -> None:
    assert apply_rules(typed("fp32"), ["sm75"], "tensorrt") == []


def test_a_layer_that_was_not_quantized_is_noted() -> None:
    model = typed("int8")
    weight = numpy_helper.from_array(np.zeros((1600, 10), np.float32), "wide")
    model.graph.initializer.append(weight)
    node(model, "products").input[1] = "wide"
    (finding,) = apply_rules(model)

    assert (finding.node, finding.operator, finding.severity) == ("wide", "Gemm", "note")
    assert finding.reason == "it computes in fp32 in a file that is quantized to int8"


def test_zero_points_that_are_constant_nodes_are_read() -> None:
    model = zero_point(5, np.int8)
    constant = next(each for each in model.graph.initializer if each.name == "nchw_zero")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["nchw_zero"], value=constant))
    model.graph.initializer.remove(constant)

    assert {finding.node for finding in refused(model)} == {"nchw_quantized", "nchw_dequantized"}


@pytest.mark.parametrize("kind", [onnx.TensorProto.INT8, onnx.TensorProto.FLOAT8E4M3FN])
def test_a_zero_point_that_is_left_out_is_no_uint8_where_the_type_is_said(kind: int) -> None:
    model = READ_OTHERWISE["no zero-point"]()
    node(model, "nchw_quantized").attribute.append(helper.make_attribute("output_dtype", kind))

    assert refused(model) == []


def test_a_node_without_a_name_is_called_by_what_it_makes() -> None:
    model = zero_point(5, np.int8)
    node(model, "nchw_quantized").name = ""

    assert "nchw_quantized" in {finding.node for finding in refused(model)}


def test_a_graph_whose_types_cannot_be_inferred_is_looked_at_all_the_same() -> None:
    model = REFUSED["transposed bytes"][0]()
    node(model, "positive").op_type = "Mystery"
    first, note = apply_rules(model, ["sm75"])

    assert (first.node, first.severity) == ("nchw", "refused")
    assert (note.node, note.severity) == ("(the graph)", "unchecked")
    assert "types cannot be inferred" in note.reason
    assert apply_rules(model)[-1].severity == "note"


def branches(inner: onnx.GraphProto) -> onnx.ModelProto:
    """A graph that chooses between two of the same kind."""
    value = onnx.helper.make_tensor_value_info
    choice = onnx.helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    graph = onnx.helper.make_graph([choice], "outer", [value("c", onnx.TensorProto.BOOL, [])], [])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])


def test_graphs_within_nodes_and_functions_are_looked_at() -> None:
    product = onnx.helper.make_node("MatMulInteger", ["a", "b"], ["y"], name="within")
    inner = onnx.helper.make_graph([product], "inner", [], [])
    function = onnx.helper.make_function(
        "mine", "F", ["a", "b"], ["y"], [product], [onnx.helper.make_opsetid("", 20)]
    )
    deep = branches(onnx.helper.make_graph(list(branches(inner).graph.node), "middle", [], []))
    with_function = branches(onnx.helper.make_graph([], "empty", [], []))
    with_function.functions.append(function)

    for model in (deep, with_function):
        assert {finding.node for finding in refused(model)} == {"within"}


def test_an_inner_graph_names_constants_around_it_and_a_function_does_not() -> None:
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    pair = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], name="within")
    innermost = helper.make_graph([pair], "innermost", [], [])
    middle = helper.make_graph(
        list(branches(innermost).graph.node), "middle", [], [], [tensor(np.array(3, np.int8), "z")]
    )
    assert {finding.node for finding in refused(branches(middle))} == {"within"}

    model = branches(helper.make_graph([], "empty", [], []))
    model.graph.initializer.append(tensor(np.array(3, np.int8), "z"))
    model.functions.append(
        helper.make_function("mine", "F", ["x", "s", "z"], ["y"], [pair], [helper.make_opsetid("", 20)])
    )
    assert refused(model) == []


def test_a_graph_without_products_has_no_types_to_check() -> None:
    value = onnx.helper.make_tensor_value_info
    ends = [value(name, onnx.TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Abs", ["x"], ["y"])], "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)])
    assert apply_rules(model, ["sm86"]) == []


def test_inputs_that_are_weights_or_scalars_do_not_hide_the_types() -> None:
    model = typed("bf16")
    model.graph.input.extend(
        onnx.helper.make_tensor_value_info(each.name, each.data_type, each.dims) for each in model.graph.initializer
    )
    model.graph.input.append(onnx.helper.make_tensor_value_info("scalar", onnx.TensorProto.FLOAT, []))
    found = [finding for finding in apply_rules(model, ["sm75"]) if finding.severity == "refused"]
    assert found
    assert all("bf16" in finding.reason for finding in found)


def quantize(file: Path, **options: Any) -> onnx.ModelProto:
    """A real file, made by ONNX Runtime's own quantization of a file in fp32."""
    quantization: Any = pytest.importorskip("onnxruntime.quantization")
    onnx.save(typed("fp32"), file)
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
    batches = iter([{"image": images}])
    base = quantization.CalibrationDataReader
    reader = type("Reader", (base,), {"get_next": lambda _: next(batches, None)})

    target = file.with_name("quantized.onnx")
    quantization.quantize_static(str(file), str(target), reader(), **options)
    return onnx.load(target)


def test_onnx_runtimes_default_quantization_is_refused_and_the_symmetric_one_is_not(tmp_path: Path) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    by_default = quantize(tmp_path / "m.onnx", per_channel=False)
    symmetric = quantize(
        tmp_path / "m.onnx",
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
        op_types_to_quantize=["Conv", "Gemm"],
        extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
    )
    operators = quantize(tmp_path / "m.onnx", quant_format=quantization.QuantFormat.QOperator)

    assert refused(symmetric) == []
    assert parsed(symmetric, tmp_path).supported
    for model in (by_default, operators):
        assert refused(model)
        assert not parsed(model, tmp_path).supported
