"""The whole command on this machine, which has no GPU: what it proves, what it lists, and what it writes."""

import re
from importlib import import_module
from operator import attrgetter
from pathlib import Path

import pytest

from benchmarks.prove.place import FULL, QUICK, Plan
from benchmarks.prove.steps import all_steps
from capsedge.measure.doctor import Diagnosis
from tests.benchmarks.prove.conftest import Run

without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")

PASS_WITHOUT_GPU = {
    "machine: what runs here",
    "training: the network of all files",
    "training: dynamic routing beside it",
    "export: collapsed: fp32",
    "export: collapsed: int8",
    "export: with the decoder",
    "export: dynamic routing unrolled",
    "ONNX Runtime: fp32 on cpu",
    "ONNX Runtime: int8 on cpu",
    "ONNX Runtime: decoder on cpu",
    "ONNX Runtime: dynamic on cpu",
    "TensorRT, building: int8 of tensorrt_rtx",
    "TensorRT, building: bf16 of tensorrt_rtx",
    "latency: side by side: batch 1",
    "latency: side by side: batch 8",
    "Triton: repository",
}


def test_nothing_fails_here(quick: Run) -> None:
    assert [record for record in quick.proof.records if record.status == "failed"] == []
    assert quick.code == 0, quick.said


@without_gpu
def test_what_needs_no_gpu_passes_and_the_rest_says_what_it_needs(quick: Run) -> None:
    passed = {name for name, record in quick.records.items() if record.status == "passed"}
    assert passed - {"Triton: served"} == PASS_WITHOUT_GPU
    needed = {
        "training": "torch finds no CUDA device",
        "export": "bf16 does not run here",
        "ONNX Runtime": "cpu does not take it|not in the installed ONNX Runtime|needs an NVIDIA GPU",
        "TensorRT, building": "NVIDIA GPU: none here",
        "TensorRT, executing": "NVIDIA GPU: none here|there is no such engine",
        "Triton": "tritonserver",
        "machine": "none here|finds no CUDA device",
    }
    for name, record in quick.records.items():
        if record.status == "not possible here":
            assert re.search(needed[record.group], record.detail), (name, record.detail)


def test_the_last_lines_count_the_records_and_name_what_was_not_executed(quick: Run) -> None:
    proof = quick.proof
    passed, failed = proof.having("passed"), proof.having("failed")
    missing = proof.having("not possible here")
    lines = quick.said.splitlines()
    assert lines[-1] == f"{len(passed)} passed, {len(failed)} failed, {len(missing)} not possible here"
    listed = lines[lines.index("") + 2 : -3]
    assert listed == [f"  {record.path}: {record.group}: {record.name}" for record in missing]


def test_a_pipe_gets_one_plain_line_for_each_record(quick: Run) -> None:
    lines = quick.said.splitlines()
    head = lines[: lines.index("")]
    assert len(head) == len(quick.proof.records)
    assert all(re.match(r"\[\d+/\d+\] [\w ,]+: .*: (passed|not possible here) \(\d+\.\d s\) ", line) for line in head)
    assert "\x1b" not in quick.said


def test_the_page_holds_every_record(quick: Run) -> None:
    page = (quick.folder / "proof.md").read_text(encoding="utf-8").splitlines()
    for name, record in quick.records.items():
        (row,) = (line for line in page if line.startswith(f"| {name} |"))
        assert row == f"| {name} | {record.status} | {record.detail.replace('|', '&#124;')} |"
    left_out = [line for line in page if line.startswith("- ")]
    assert len(left_out) == len(quick.proof.having("not possible here"))


def test_no_path_of_this_machine_gets_out(quick: Run) -> None:
    for name in ("proof.json", "proof.md"):
        text = (quick.folder / name).read_text(encoding="utf-8")
        for private in (str(quick.folder), str(Path.home()), str(Path(__file__).parents[3])):
            assert private not in text
    assert quick.proof.command == ("OUT", "--quick")


def test_the_doctor_s_findings_are_all_in_the_proof(quick: Run) -> None:
    import msgspec

    diagnosis = msgspec.convert(quick.records["machine: what runs here"].data, Diagnosis)
    assert {"CPU", "CUDA", "NVIDIA GPU", "TensorRT-RTX"} <= {finding.subject for finding in diagnosis.findings}


def test_an_export_s_record_holds_differences_error_and_its_change(quick: Run) -> None:
    data = quick.records["export: collapsed: int8"].data
    assert data["status"] == "accepted"
    assert 0 < data["mean_length_difference"] < data["largest_length_difference"] < 0.35
    trained = next(score["error"] for score in data["scores"] if score["stage"] == "trained")
    assert data["error_change"]["mean"] == pytest.approx(data["error"] - trained, abs=1e-9)
    assert data["flops_in"] == {"int8": 1.0}


def test_latencies_are_compared_with_fp32_and_with_dynamic_routing_of_the_same_run(quick: Run) -> None:
    data = quick.records["latency: side by side: batch 8"].data
    assert data["batch"] == 8
    assert [row["label"] for row in data["rows"][:2]] == ["fp32 on cpu", "dynamic on cpu"]
    times = {case["label"]: (case["ratio"] or {"value": 1.0})["value"] for case in data["report"]["cases"]}
    int8 = next(row for row in data["rows"] if row["label"] == "int8 on cpu")
    assert int8["faster_than_fp32"] == pytest.approx(1 / times["int8 on cpu"])
    assert int8["faster_than_dynamic"] == pytest.approx(times["dynamic on cpu"] / times["int8 on cpu"])


def test_the_repository_has_one_folder_for_each_file_that_is_served(quick: Run) -> None:
    assert sorted(path.name for path in (quick.folder / "models").iterdir()) == ["dynamic", "network", "network-int8"]
    served = (quick.folder / "models" / "network" / "1" / "model.onnx").read_bytes()
    assert served == (quick.folder / "network" / "model.onnx").read_bytes()


@pytest.mark.parametrize("plan", [FULL, QUICK])
def test_every_step_names_code_that_exists(plan: Plan) -> None:
    for step in all_steps(plan):
        parts = step.path.split(".")
        module = next(
            ".".join(parts[:count]) for count in range(len(parts), 0, -1) if _is_module(".".join(parts[:count]))
        )
        rest = step.path.removeprefix(module).removeprefix(".")
        assert not rest or attrgetter(rest)(import_module(module)) is not None
    names = [f"{step.group}: {step.name}" for step in all_steps(plan) if step.name != "collapsed"]
    assert len(names) == len(set(names))


def test_a_full_proof_takes_every_precision_everywhere() -> None:
    names = {f"{step.group}: {step.name}" for step in all_steps(FULL)}
    for precision in ("fp32", "fp16", "bf16", "int8", "int8+fp16", "fp8"):
        for provider in ("cpu", "cuda", "tensorrt"):
            assert f"ONNX Runtime: {precision} on {provider}" in names
        for package in ("tensorrt_rtx", "tensorrt"):
            assert f"TensorRT, building: {precision} of {package}" in names
            assert f"TensorRT, executing: {precision} of {package}" in names


def _is_module(name: str) -> bool:
    from importlib.util import find_spec

    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a parent is no package
        return False
