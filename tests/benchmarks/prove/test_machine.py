"""Reading what the doctor says: of a made-up machine with a GPU, and of this one."""

import os
from pathlib import Path

import msgspec
import onnxruntime
import pytest

from benchmarks.prove import machine
from benchmarks.prove.machine import LEFT_ON_THE_CPU, SUBJECTS, Here, here_of
from benchmarks.prove.record import NotPossible
from capsedge.errors import ProviderError
from capsedge.measure.doctor import Diagnosis, Finding
from capsedge.runtime.open import open_session
from capsedge.runtime.ort import placement
from capsedge.runtime.settings import Settings
from tests.benchmarks.prove.conftest import Run
from tests.benchmarks.prove.places import GPU_MACHINE, Stage, gpu_machine, printed


def test_the_gpu_and_its_target_are_the_doctor_s() -> None:
    text = msgspec.json.encode(GPU_MACHINE)
    here = here_of(msgspec.json.decode(text, type=Diagnosis))
    assert (here.gpu, here.target) == ("NVIDIA GeForce RTX 4070 (sm89)", "sm89")


def test_what_is_missing_says_what_to_install_and_what_works_says_nothing() -> None:
    here = here_of(GPU_MACHINE)
    assert here.lacks("CUDA") == here.lacks("TensorRT-RTX") == ""
    assert here.lacks("TensorRT") == "the Python package 'tensorrt' is not installed; comes with JetPack"
    assert "libnvinfer.so.10 is missing" in here.lacks(SUBJECTS["tensorrt"])


def test_a_machine_of_which_nothing_is_known_has_nothing() -> None:
    here = Here()
    assert (here.gpu, here.target) == ("", "")
    with pytest.raises(NotPossible, match="the doctor said nothing about CUDA"):
        here.need("CUDA")


def test_what_is_broken_is_tried_all_the_same() -> None:
    wrong = Finding("CUDA", "broken", "fashion-mnist (built in) on CUDAExecutionProvider: a length is off by 0.001")
    assert gpu_machine(cuda=wrong).lacks("CUDA") == ""


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_leaves_nodes_to_the_cpu_is_no_missing_part(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ONNX Runtime's own words: its Azure provider starts and takes no node, as in tests/runtime."""
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this wheel has no second provider")
    monkeypatch.setitem(placement.ORT_NAMES, "cuda", "AzureExecutionProvider")
    with pytest.raises(ProviderError) as caught:
        open_session(good, Settings(provider="cuda"))
    assert LEFT_ON_THE_CPU in str(caught.value)
    assert gpu_machine(cuda=Finding("CUDA", "missing", str(caught.value))).lacks("CUDA") == ""


def test_every_subject_is_one_of_the_real_doctor_s(quick: Run) -> None:
    found = {finding["subject"] for finding in quick.records["machine: what runs here"].data["findings"]}
    assert {*SUBJECTS.values(), machine.GPU} <= found


def test_a_doctor_that_finds_something_broken_is_a_failed_step_and_is_believed(tmp_path: Path) -> None:
    broken = (Finding("CUDA", "broken", "a length is off"), *GPU_MACHINE.findings)
    stage = Stage(tmp_path, lambda *_: printed(Diagnosis(GPU_MACHINE.machine, broken), 1, "needs mending: CUDA"))
    stage.here = Here()
    (found,) = machine.doctor(stage)
    assert (found.status, found.detail) == ("failed", "needs mending: CUDA")
    assert stage.here.target == "sm89"


def test_the_driver_s_words_are_in_the_gpu_s_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\necho "$1" > asked\necho "580.65.06, 12282 MiB, 200.00 W"\n')
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    (found,) = machine.gpu(Stage(tmp_path, printed))
    assert found.detail.startswith("NVIDIA GeForce RTX 4070 (sm89); 580.65.06, 12282 MiB, 200.00 W")
    assert "driver_version" in (tmp_path / "asked").read_text()


def test_a_torch_without_cuda_says_so(tmp_path: Path) -> None:
    seen = {"version": "2.13.0+cpu", "cuda": "", "devices": [], "tf32": True}
    stage = Stage(tmp_path, lambda *_: printed(seen))
    with pytest.raises(NotPossible, match=r"torch 2\.13\.0\+cpu finds no CUDA device: it was built without CUDA"):
        next(machine.torch_devices(stage))
    assert stage.cuda == ()
