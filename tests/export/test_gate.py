"""The gate must be able to fail: files of three precisions are corrupted on the disk and run by the command line."""

import dataclasses
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from msgspec.structs import replace

from capsedge.contract import Contract, Precision, Verdict
from capsedge.errors import GateRejected
from capsedge.export import RunExport, export_run, pipeline
from capsedge.export.gate import Rejection, Tolerance, tolerance_of
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.training import Run
from tests.export.corruptions import (
    Corruption,
    a_class_too_few,
    a_doubled_weight_scale,
    a_nan,
    a_transposed_kernel,
    a_wrong_activation_scale,
    a_wrong_scale,
    a_wrong_scale_of_one_channel,
    change,
    swapped_class_columns,
    swapped_class_names,
    weight,
    weights_of_8_bits,
    wrong_weights,
)
from tests.export.typed_files import contract_in, typed_file, verdict_in
from tests.in_process import Capsedge


def corrupted(path: Path, corrupt: Corruption) -> Path:
    model = onnx.load_model(str(path))
    corrupt(model)
    path.write_bytes(model.SerializeToString())
    return path


FAR = "of the images, not"  # the answers differ
READ = "the difference starts at DequantizeLinear 'capsules."
CONTRACT = "its contract has classes ('trouser', 't-shirt'"
GEMM, CONV, MUL = (
    "Gemm 'node_Gemm_31' of 'capsules.weight",
    "Conv 'node_conv2d' of 'capsules.stem.conv.weight",
    "Mul 'node_mul_4'",
)

# What goes wrong, a clause of the line, and where the line says that it starts.
CORRUPTIONS: list[tuple[Corruption, str, str]] = [
    (wrong_weights, FAR, f"the difference starts at {GEMM}"),
    (a_wrong_scale, FAR, f"the difference starts at {MUL}"),
    (a_transposed_kernel, FAR, f"the difference starts at {CONV}"),
    (swapped_class_names, CONTRACT, ""),
    (swapped_class_columns, FAR, f"the difference starts at {GEMM}"),
]
IN_FP32_ONLY: list[tuple[Corruption, str, str]] = [
    (a_nan, "lengths are NaN or infinite", f"the difference starts at {GEMM}"),
    (
        a_class_too_few,
        "must give lengths of 10 classes for 250 images, it gave an array of [225, 10]",
        "where the difference starts cannot be traced: Reshape 'node_",
    ),
]
IN_INT8_ONLY: list[tuple[Corruption, str, str]] = [
    (
        a_doubled_weight_scale,
        FAR,
        f"{READ}primary.weight_DequantizeLinear' of 'capsules.primary.weight_scale', whose output differs by 100 %",
    ),
    (
        a_wrong_scale_of_one_channel,
        FAR,
        f"{READ}stem.conv.weight_DequantizeLinear' of 'capsules.stem.conv.weight_scale'",
    ),
    (
        a_wrong_activation_scale,
        FAR,
        "the difference starts at QuantizeLinear 'view_QuantizeLinear' of 'view_scale'",
    ),
    (
        weights_of_8_bits,  # exact on every processor in our sessions, and in those of others on some alone
        "two int8 products of 'capsules.primary.weight_quantized' can sum to 64,",  # of at most 64,770
        "",
    ),
]
# A quantized file is held against the same network quantized anew: the very constant is named.
NAMES_IN_INT8: dict[Corruption, str] = {
    a_wrong_scale: "the difference starts at QuantizeLinear 'mul_4_QuantizeLinear' of 'mul_4_image_scale'",
    wrong_weights: f"{READ}weight_DequantizeLinear' of 'capsules.weight_quantized'",
    a_transposed_kernel: f"{READ}stem.conv.weight_DequantizeLinear' of 'capsules.stem.conv.weight_quantized'",
    swapped_class_columns: f"{READ}weight_DequantizeLinear' of 'capsules.weight_quantized'",
}
CASES = [
    *(("fp32", *case) for case in (*CORRUPTIONS, *IN_FP32_ONLY)),
    *(("fp16", *case) for case in CORRUPTIONS),
    *(("int8", corrupt, why, NAMES_IN_INT8.get(corrupt, start)) for corrupt, why, start in CORRUPTIONS),
    *(("int8", *case) for case in IN_INT8_ONLY),
]


@pytest.mark.parametrize(
    ("precision", "corrupt", "reason", "start"), CASES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_corrupted_file_is_rejected_and_set_aside(
    precision: Precision, corrupt: Corruption, reason: str, start: str, exported: Run, capsedge: Capsedge
) -> None:
    path = corrupted(typed_file(exported, precision), corrupt)

    result = capsedge("gate", str(path))

    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("capsedge: the gate rejected")
    assert reason in line
    assert start in line
    assert not path.exists()
    kept = path.with_name(f"{path.name}.rejected")
    assert kept.exists()
    report = msgspec.json.decode(kept.with_name(f"{kept.name}.json").read_bytes(), type=Rejection)
    assert report.verdict.status == "rejected"
    assert any(reason in text for text in report.verdict.reasons)
    assert report.verdict.starts_at in line
    assert report.trace is not None
    assert report.trace.starts_at == report.verdict.starts_at
    assert bool(report.trace.nodes) == ("starts at" in start and "no node" not in start)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_uncorrupted_file_written_by_the_same_tools_passes(
    precision: Precision, exported: Run, capsedge: Capsedge
) -> None:
    path = corrupted(typed_file(exported, precision), lambda model: None)
    before = read_onnx_file(path)

    result = capsedge("gate", str(path), "--json")

    assert result.returncode == 0, result.stderr
    contract = msgspec.json.decode(result.stdout, type=Contract)
    assert contract.precision == precision
    assert verdict_in(contract).status == "accepted"
    assert verdict_in(contract).limits == tolerance_of(precision).limits(drawn=False)
    assert read_onnx_file(path).graph_sha256 == before.graph_sha256


def test_every_figure_is_printed_with_its_limit(exported: Run, capsedge: Capsedge) -> None:
    result = capsedge("gate", str(exported.path), "--max-error-increase", "0.3")
    assert result.returncode == 0, result.stderr
    said = " ".join(result.stderr.split())
    contract = contract_in(exported.path / "model.onnx")
    verdict = verdict_in(contract)
    assert verdict.limits["error_change"] == 0.003
    assert "gate: accepted on CPUExecutionProvider, 400 validation images" in said
    assert f"largest length difference {verdict.largest_length_difference:.2g} (at most 0.0001)" in said
    assert "same answer 100.00 % (at least 99.90 %)" in said
    assert "change of the error, points +0.00 (-0.69 to +0.69) (at most +0.30)" in said


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ("-0.1", "--max-error-increase"),
        ("101", "--max-error-increase"),
        ("nan", "--max-error-increase': expected a finite number, got nan"),
        ("half", "--max-error-increase"),
    ],
)
def test_an_increase_that_is_no_number_of_points_is_wrong_use(
    points: str, words: str, exported: Run, capsedge: Capsedge
) -> None:
    result = capsedge("gate", str(exported.path), "--max-error-increase", points)
    assert result.returncode == 2
    assert words in result.stderr


def test_a_graph_that_cannot_even_be_read_is_set_aside_with_its_engine(exported: Run, capsedge: Capsedge) -> None:
    path = exported.path / "model.onnx"
    model = onnx.load_model(str(path))
    change(weight(model, "Gemm"), lambda values: values.T.copy())
    path.write_bytes(model.SerializeToString())
    for left in ("model.engine", "model.engine.json"):
        (exported.path / left).write_text("of the file that is rejected now")
    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert "the gate rejected" in result.stderr
    assert "its graph is damaged" in result.stderr
    names = {each.name for each in exported.path.iterdir()}
    assert {"model.onnx.rejected", "model.onnx.rejected.json"} <= names
    assert not {"model.onnx", "model.engine", "model.engine.json"} & names


@pytest.mark.parametrize("options", [(), ("--provider", "cpu")], ids=["gate", "on a provider"])
def test_a_file_that_was_altered_and_still_computes_right_is_accepted_with_a_remark(
    exported: Run, options: tuple[str, ...], capsedge: Capsedge
) -> None:
    path = exported.path / "model.onnx"
    model = onnx.load_model(str(path))
    change(weight(model, "Gemm"), lambda values: values * np.float32(1 + 1e-6))
    path.write_bytes(model.SerializeToString())
    result = capsedge("gate", str(path), *options)
    assert result.returncode == 0, result.stderr
    assert "since its export its weights capsules.weight were altered" in result.stderr


def test_the_file_that_a_link_names_is_gated_and_set_aside(exported: Run, tmp_path: Path, capsedge: Capsedge) -> None:
    link, stored = exported.path / "model.onnx", tmp_path / "store" / "model.onnx"
    stored.parent.mkdir()
    link.rename(stored)
    link.symlink_to(stored)
    corrupted(stored, lambda model: change(weight(model, "Gemm"), lambda values: values * np.float32(1 + 1e-6)))
    result = capsedge("gate", str(link))
    assert result.returncode == 0, result.stderr
    assert link.is_symlink()
    assert verdict_in(contract_in(stored)).remarks

    corrupted(stored, lambda model: change(weight(model, "Gemm"), lambda values: values.T.copy()))
    result = capsedge("gate", str(link))
    assert result.returncode == 1
    assert f"kept as '{stored}.rejected'" in result.stderr
    assert sorted(each.name for each in stored.parent.iterdir()) == [
        "model.onnx.rejected",
        "model.onnx.rejected.json",
    ]


def test_a_contract_that_lies_is_found_in_a_file_that_is_only_emulated(exported: Run, capsedge: Capsedge) -> None:
    path = RunExport(exported).export("bf16").path
    model = onnx.load_model(str(path))
    swapped_class_names(model)
    path.write_bytes(model.SerializeToString())
    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert CONTRACT in result.stderr
    assert not path.exists()


@pytest.mark.parametrize("options", [(), ("--provider", "cpu")], ids=["gate", "on a provider"])
def test_a_file_of_another_run_is_refused_and_left_alone(
    exported: Run, dynamic: Run, options: tuple[str, ...], capsedge: Capsedge
) -> None:
    other = export_run(dynamic).path
    result = capsedge("gate", str(other), "--run", str(exported.path), *options)
    assert result.returncode == 2
    assert "was exported from another run than" in result.stderr
    assert other.exists()  # nothing is wrong with it


def test_an_export_that_is_older_than_its_run_is_called_so(exported: Run, capsedge: Capsedge) -> None:
    path = export_run(exported).path
    record = exported.read_record()
    exported.write_record(replace(record, scores=tuple(replace(each, error=0.5) for each in record.scores)))
    result = capsedge("gate", str(path))
    assert result.returncode == 2
    assert f"is older than the best network of its run: capsedge export {exported.path}" in (
        result.stderr.replace("\n", " ")
    )


def test_a_rejected_export_leaves_no_accepted_file_not_even_an_older_one(
    exported: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (exported.path / "model.onnx").exists()

    def too_strict(precision: str, **_: object) -> Tolerance:
        return dataclasses.replace(tolerance_of(precision), length=-1.0)

    monkeypatch.setattr(pipeline, "tolerance_of", too_strict)
    with pytest.raises(GateRejected, match=r"kept as '.*model\.onnx\.rejected'"):
        export_run(exported)
    left = {path.name for path in exported.path.iterdir()}
    assert "model.onnx" not in left
    assert {"model.onnx.rejected", "model.onnx.rejected.json"} <= left
    assert not any("candidate" in name for name in left)


def test_gate_needs_the_run_of_the_model(exported: Run, tmp_path: Path, capsedge: Capsedge) -> None:
    lonely = tmp_path / "elsewhere" / "model.onnx"
    lonely.parent.mkdir()
    lonely.write_bytes((exported.path / "model.onnx").read_bytes())
    result = capsedge("gate", str(lonely))
    assert result.returncode == 1
    assert "is not a run" in result.stderr


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed: make setup installs it")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_openvino_is_judged_by_the_same_limits_and_the_file_stays(
    exported: Run, precision: Precision, capsedge: Capsedge
) -> None:
    file = exported.path / pipeline.file_name(precision)
    before = file.read_bytes()

    done = capsedge("gate", str(file), "--provider", "openvino", "--json")

    assert done.returncode == 0, done.stderr
    verdict = msgspec.json.decode(done.stdout, type=Verdict)
    assert (verdict.status, verdict.limits) == ("accepted", tolerance_of(precision).limits(drawn=False))
    assert verdict.provider.startswith("OpenVINO CPU (f32")
    assert ("i8" in verdict.provider) is (precision == "int8")
    assert file.read_bytes() == before


@pytest.mark.skipif(find_spec("openvino") is None, reason="OpenVINO is not installed: make setup installs it")
def test_a_wrong_file_is_rejected_on_openvino_and_stays_where_it_is(exported: Run, capsedge: Capsedge) -> None:
    file = corrupted(exported.path / "model.onnx", wrong_weights)

    done = capsedge("gate", str(file), "--provider", "openvino")

    assert done.returncode == 1
    assert f"capsedge: the gate rejects '{file}' on OpenVINO CPU (f32): " in done.stderr
    assert FAR in done.stderr
    assert file.exists()
    assert not [*exported.path.glob("*.rejected*")]


def test_an_engine_takes_no_provider(capsedge: Capsedge, tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"")

    done = capsedge("gate", str(tmp_path / "model.engine"), "--provider", "openvino")

    assert (done.returncode, done.stderr) == (
        2,
        "capsedge: an engine runs on its own TensorRT: leave out --provider\n",
    )
