"""The steps of the providers: with processes that answer as told; and the gate's job on the real CPU provider."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.prove.asked import GateWanted, Opened
from benchmarks.prove.jobs import gate
from benchmarks.prove.process import Said
from benchmarks.prove.providers import on_provider
from benchmarks.prove.record import Failed, NotPossible
from capsedge.contract import contract_of
from capsedge.onnx_lite.file import read_onnx_file
from tests.benchmarks.prove.conftest import Run
from tests.benchmarks.prove.places import ACCEPTED, REJECTED, Stage, printed, refused, replayed

CUDA = "CUDAExecutionProvider"


def stage(folder: Path, answers: Mapping[str, Said]) -> Stage:
    return Stage(folder, lambda name, *_: answers[name])


def test_a_file_that_runs_is_replayed_gated_and_timed_later(tmp_path: Path) -> None:
    place = stage(tmp_path, {"verify": printed(replayed(CUDA)), "gate": printed(ACCEPTED)})
    (found,) = on_provider(place, "cuda", "fp16")
    assert place.asked == [
        ("verify", "network/fp16.onnx", "--provider", "cuda", "--json"),
        ("gate", GateWanted("network/fp16.onnx", "network", "cuda")),
    ]
    assert place.opened == [Opened("fp16 on cuda", "network/fp16.onnx", "cuda")]
    assert found.data["gate"]["error_change"] == {"mean": 0.0, "low": -0.001, "high": 0.001}
    assert "on CUDAExecutionProvider, golden sample to 2.0e-06" in found.detail
    assert "error 10.00 %, +0.00 points (-0.10 to +0.10)" in found.detail


def test_dynamic_routing_is_gated_against_its_own_run(tmp_path: Path) -> None:
    place = stage(tmp_path, {"verify": printed(replayed(CUDA)), "gate": printed(ACCEPTED)})
    list(on_provider(place, "cuda", "dynamic"))
    assert place.asked[1] == ("gate", GateWanted("network/dynamic.onnx", "dynamic", "cuda"))


def test_a_file_that_ran_elsewhere_fails(tmp_path: Path) -> None:
    place = stage(tmp_path, {"verify": printed(replayed("CPUExecutionProvider"))})
    with pytest.raises(Failed, match="it ran on CPUExecutionProvider, and cuda was asked for"):
        list(on_provider(place, "cuda", "fp32"))
    assert place.opened == []


def test_a_file_that_the_gate_rejects_there_fails(tmp_path: Path) -> None:
    place = stage(tmp_path, {"verify": printed(replayed(CUDA)), "gate": printed(REJECTED)})
    with pytest.raises(Failed, match=r"the gate: a length differs by 0\.2"):
        list(on_provider(place, "cuda", "fp32"))
    assert place.opened == []


def test_a_type_that_nobody_promises_of_a_provider_may_be_refused_and_another_may_not(tmp_path: Path) -> None:
    place = stage(tmp_path, {"verify": refused("4 nodes would run on the CPU (Conv)")})
    with pytest.raises(NotPossible, match=r"cuda does not take it: 4 nodes would run on the CPU"):
        list(on_provider(place, "cuda", "bf16"))
    with pytest.raises(Failed, match="4 nodes would run on the CPU"):
        list(on_provider(place, "cuda", "fp16"))


def test_a_provider_that_is_not_here_is_not_asked(tmp_path: Path) -> None:
    place = stage(tmp_path, {})
    with pytest.raises(NotPossible, match=r"libnvinfer\.so\.10 is missing"):
        list(on_provider(place, "tensorrt", "fp32"))
    assert place.asked == []


def test_a_file_that_was_not_exported_is_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="there is no file of fp8: its export did not give one"):
        list(on_provider(stage(tmp_path, {}), "cpu", "fp8"))


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "decoder.onnx"])
def test_the_gate_s_job_says_of_a_file_on_the_cpu_what_its_export_said(quick: Run, name: str) -> None:
    run = quick.folder / "network"
    if not run.exists():
        pytest.skip("the network was trained on CUDA")
    verdict = gate.work(GateWanted(str(run / name), str(run), "cpu"))
    contract = contract_of(read_onnx_file(run / name), source=name)
    assert contract is not None
    exported = contract.verdict
    assert exported is not None
    assert verdict == exported
    assert (verdict.largest_reconstruction_difference is not None) == (name == "decoder.onnx")
