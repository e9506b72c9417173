"""capsedge lint: the rules and the real parser together, as a library and as a command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from capsedge.errors import ModelError, WrongUse
from capsedge.export.tensorrt import lint, process
from capsedge.onnx_lite.file import read_metadata
from tests.export.tensorrt.conftest import Machine
from tests.export.tensorrt.graphs import typed
from tests.export.tensorrt.refused import REFUSED, fixed_batch, node, unknown_operator, zero_point
from tests.export.tensorrt.test_rules import branches
from tests.in_process import Capsedge
from tests.runtime.int8_models import quantized_product


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


@pytest.fixture
def rtx() -> str:
    return f"tensorrt_rtx {pytest.importorskip('tensorrt_rtx').__version__}"


def test_both_are_asked_and_one_finding_is_told_once(rtx: str, tmp_path: Path) -> None:
    found = lint(saved(REFUSED["int32 bias"][0](), tmp_path))

    assert found.parser == rtx
    (finding,) = found.refused
    assert (finding.node, finding.operator, finding.source) == ("bias", "DequantizeLinear", "rules")


def test_what_only_the_parser_knows_is_told_with_its_release(rtx: str, tmp_path: Path) -> None:
    found = lint(saved(unknown_operator(), tmp_path))

    (finding,) = found.refused
    assert (finding.node, finding.operator, finding.source) == ("positive", "Mystery", rtx)
    assert finding.reason == "the parser knows no operator 'Mystery'"
    assert finding.advice == "replace it by operators that TensorRT has"


def test_a_parsers_reason_comes_without_its_source_lines(rtx: str, tmp_path: Path) -> None:
    model = typed("fp32")
    node(model, "rows").input[1] = "other"
    shape = onnx.numpy_helper.from_array(np.array([-1, -1], np.int64), "other")
    model.graph.initializer.append(shape)
    (finding,) = lint(saved(model, tmp_path)).refused

    assert (finding.node, finding.source) == ("rows", rtx)
    assert finding.reason == (
        "reshape dimension with more than one -1 wildcard. Reshaping [batch,4,20,20] to [-1,-1]"
    )


def test_a_parser_that_crashes_is_told_beside_what_the_rules_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorrt_rtx")
    crash = tmp_path / "stand_in.py"
    crash.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(process, "WORKER", str(crash))
    found = lint(saved(REFUSED["int32 bias"][0](), tmp_path))

    assert [finding.node for finding in found.refused] == ["bias", "(the graph)"]
    assert "tensorrt_rtx was ended by signal 11" in found.refused[1].reason


def test_what_is_refused_comes_first(tmp_path: Path) -> None:
    model = fixed_batch()
    node(model, "positive").op_type = "Mystery"
    severities = [finding.severity for finding in lint(saved(model, tmp_path)).findings]

    assert severities == sorted(severities, key=["refused", "warning", "note"].index)
    assert set(severities) == {"refused", "warning", "note"}


def test_without_tensorrt_the_rules_alone_are_applied_and_it_is_said(machine: Machine, tmp_path: Path) -> None:
    machine()
    found = lint(saved(REFUSED["int32 bias"][0](), tmp_path), ["sm75"])

    assert found.parser == ""
    assert "pip install 'capsedge[trt]'" in found.no_parser
    assert [(finding.node, finding.operator) for finding in found.refused] == [
        ("bias", "DequantizeLinear"),
        ("classes_stored", "Gemm"),
    ]


def test_a_classic_parser_without_a_gpu_is_no_parser(classic: Machine, tmp_path: Path) -> None:
    """On the stand-in for the classic package."""
    classic(gpu=None)
    found = lint(saved(typed("fp32"), tmp_path))

    assert found.parser == ""
    assert found.no_parser == "tensorrt 10.13.3.9 cannot build here: it needs an NVIDIA GPU and its driver"
    assert found.findings == ()


def test_somebody_elses_file_is_read(models: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    assert lint(models / "foreign.onnx").parser


@pytest.mark.parametrize("name", ["text.onnx", "empty.onnx", "truncated.onnx"])
def test_what_is_no_onnx_file_has_the_error_of_the_other_commands(name: str, models: Path) -> None:
    with pytest.raises(ModelError) as expected:
        read_metadata(models / name)
    with pytest.raises(ModelError) as caught:
        lint(models / name)
    assert str(caught.value) == str(expected.value)


def without_inputs(node: onnx.NodeProto, _: onnx.TensorProto) -> None:
    del node.input[:]


def without_bytes(_: onnx.NodeProto, zero: onnx.TensorProto) -> None:
    zero.raw_data = b""


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (without_inputs, "DequantizeLinear 'w_back' has no inputs"),
        (without_bytes, "the zero-point of DequantizeLinear"),
    ],
)
def test_a_damaged_quantizer_is_an_error_in_one_line(
    damage: Callable[[onnx.NodeProto, onnx.TensorProto], None], reason: str, tmp_path: Path
) -> None:
    model = quantized_product(np.full((4, 2), 3, np.int8))
    dequantize = next(each for each in model.graph.node if each.output[0] == "w_back")
    damage(dequantize, next(each for each in model.graph.initializer if each.name == "w_zero"))
    with pytest.raises(ModelError, match=rf"^the graph of '.*m\.onnx' is damaged \({reason}.*\): export or copy"):
        lint(saved(model, tmp_path))


def test_a_missing_file_and_a_strange_target_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        lint(tmp_path / "absent.onnx")
    with pytest.raises(WrongUse, match="got 'ampere'"):
        lint(saved(typed("fp32"), tmp_path), ["ampere"])


def test_the_command_names_the_node_and_fails(rtx: str, tmp_path: Path, capsedge: Capsedge) -> None:
    done = capsedge("lint", str(saved(zero_point(3, np.int8), tmp_path)))

    assert done.returncode == 1
    assert "refused" in done.stdout
    assert rtx in done.stderr
    assert done.stderr.splitlines()[-1] == (
        f"capsedge: TensorRT rejects '{tmp_path / 'm.onnx'}': 2 findings, listed above"
    )


def test_the_command_passes_a_file_with_remarks_only(tmp_path: Path, capsedge: Capsedge) -> None:
    done = capsedge("lint", str(saved(fixed_batch(), tmp_path)), "--json")

    assert done.returncode == 0
    (finding,) = json.loads(done.stdout)["findings"]
    assert (finding["node"], finding["severity"]) == ("image", "warning")


def test_the_command_holds_a_file_against_targets(tmp_path: Path, capsedge: Capsedge) -> None:
    done = capsedge("lint", str(saved(typed("fp8"), tmp_path)), "--trt-target", "sm86, sm89", "--json")
    report = json.loads(done.stdout)

    assert done.returncode == 1
    assert report["targets"] == ["sm86", "sm89"]
    assert [finding["node"] for finding in report["findings"]] == ["conv_stored", "classes_stored"]


def test_the_command_wants_an_onnx_file(tmp_path: Path, capsedge: Capsedge) -> None:
    (tmp_path / "m.engine").write_bytes(b"an engine")
    done = capsedge("lint", str(tmp_path / "m.engine"))

    assert done.returncode == 2
    assert "expected an ONNX file, got" in done.stderr


def test_weights_that_saturate_on_some_processors_are_named(tmp_path: Path) -> None:
    wide = lint(saved(quantized_product(np.full((4, 4), 127, np.int8)), tmp_path))
    (finding,) = [each for each in wide.findings if each.node == "w"]
    assert (finding.severity, finding.source) == ("warning", "rules")
    assert finding.reason.startswith("two int8 products of 'w' can sum to 64,770, and x86 processors without VNNI")
    assert "reduce_range" in finding.advice
    narrow = lint(saved(quantized_product(np.full((4, 4), 64, np.int8)), tmp_path))
    assert not any(each.node == "w" for each in narrow.findings)


def test_values_in_another_file_are_those_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the same name in the working directory is another model's."""
    model = zero_point(5, np.int8)
    for tensor in model.graph.initializer:
        onnx.external_data_helper.set_external_data(tensor, "values.bin")
    (tmp_path / "model").mkdir()
    onnx.save(model, tmp_path / "model" / "m.onnx")
    content = (tmp_path / "model" / "values.bin").read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "values.bin").write_bytes(bytes(len(content)))  # with zero-points of 0
    monkeypatch.chdir(elsewhere)

    assert any("zero-point is not 0" in finding.reason for finding in lint(tmp_path / "model" / "m.onnx").findings)

    within = branches(onnx.helper.make_graph(list(model.graph.node), "inner", [], []))
    within.graph.initializer.extend(
        onnx.load(tmp_path / "model" / "m.onnx", load_external_data=False).graph.initializer
    )
    (tmp_path / "model" / "within.onnx").write_bytes(within.SerializeToString())
    found = lint(tmp_path / "model" / "within.onnx").findings
    assert any("zero-point is not 0" in finding.reason for finding in found)

    (tmp_path / "model" / "values.bin").unlink()
    with pytest.raises(ModelError, match="in another file that cannot be read"):
        lint(tmp_path / "model" / "m.onnx")
