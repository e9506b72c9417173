"""The doctor as a whole: always the same subjects, calm without a GPU, and nothing leaves the machine."""

import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from capsedge.measure.doctor import Diagnosis, Finding, diagnose
from capsedge.measure.doctor import diagnosis as diagnosis_of_all
from capsedge.measure.doctor.sensors import find_sensors
from capsedge.measure.machine import Conditions, this_machine
from capsedge.runtime import models as built_in
from tests.measure.doctor.places import NOTHING, gpu

no_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")


@pytest.fixture
def builtin(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model in the built-in one's place."""
    shutil.copy(good, tmp_path / "fashion-mnist.onnx")
    monkeypatch.setattr(built_in, "BUILTIN", tmp_path)


def diagnosis(*findings: Finding) -> Diagnosis:
    return Diagnosis(this_machine(), findings)


@no_gpu
@pytest.mark.usefixtures("builtin")
def test_a_machine_without_a_gpu_is_healthy_and_gets_no_advice_about_gpus() -> None:
    found = diagnose()
    states = {finding.subject: finding for finding in found.findings}

    assert found.problems == ()
    assert states["CPU"].state == "works"
    for subject in ("NVIDIA GPU", "NVIDIA driver", "CUDA", "TensorRT in ONNX Runtime", "TensorRT"):
        assert (states[subject].state, states[subject].advice) == ("missing", "")


@pytest.mark.usefixtures("builtin")
def test_the_subjects_are_the_same_whatever_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    subjects = [finding.subject for finding in diagnose().findings]
    for module in ("onnxruntime", "openvino", "cuda.bindings.runtime", "tensorrt_rtx", "pynvml"):
        monkeypatch.setitem(sys.modules, module, None)
    stripped = diagnose()

    assert [finding.subject for finding in stripped.findings] == subjects
    assert len(set(subjects)) == len(subjects)
    assert stripped.problems == ("no provider runs a model",)


@pytest.mark.usefixtures("builtin")
def test_a_gpu_that_only_nvml_tells_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows: what CUDA needs is broken there, and not missing."""
    machine = msgspec.structs.replace(this_machine(), gpu=gpu())
    monkeypatch.setattr(diagnosis_of_all, "this_machine", lambda: machine)
    monkeypatch.setattr(diagnosis_of_all, "read_presence", lambda: NOTHING)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    states = {finding.subject: finding for finding in diagnose().findings}

    assert (states["NVIDIA GPU"].state, states["NVIDIA GPU"].target) == ("installed", "sm89")
    assert states["NVIDIA driver"].detail == "580.65.06, for CUDA up to 13.0"
    assert "GPU clock" in states["Sensors"].detail


_watched: list[str] | None = None


def _hear(event: str, _: tuple[object, ...]) -> None:
    if _watched is not None and event.startswith("socket."):
        _watched.append(event)


@pytest.mark.usefixtures("builtin")
def test_no_socket_is_opened() -> None:
    """Python tells every use of a socket to such a hook, which cannot be taken off again, only be deaf."""
    global _watched  # noqa: PLW0603
    sys.addaudithook(_hear)
    _watched = []
    try:
        diagnose()
        heard = list(_watched)
        import socket

        socket.socket().close()
        assert _watched == ["socket.__new__"]  # the hook hears
    finally:
        _watched = None
    assert heard == []


def test_what_is_broken_is_a_problem_and_what_is_missing_is_none() -> None:
    works = Finding("CPU", "works", "yes", provider="cpu")
    missing = Finding("CUDA", "missing", "no GPU", provider="cuda")

    assert diagnosis(works, missing).problems == ()
    assert diagnosis(works, Finding("CUDA", "broken", "libcudnn.so.9 is missing")).problems == ("CUDA",)
    assert diagnosis(missing, Finding("CPU", "broken", "why")).problems == ("CPU",)
    assert diagnosis(missing, Finding("PyTorch", "works", "yes")).problems == ("no provider runs a model",)


def test_sensors_are_listed_and_those_of_absent_parts_are_not_missed() -> None:
    now = Conditions(load_average=0.0, cpu_mhz=1700.0, gpu_mhz=1020.0)

    assert find_sensors(now, gpu=False, jetson=False) == Finding(
        "Sensors", "works", "load, CPU clock; unavailable: CPU temperature, governor"
    )
    jetson = find_sensors(now, gpu=True, jetson=True).detail
    assert "GPU clock; unavailable" in jetson
    assert jetson.endswith("power of the module")
    assert find_sensors(Conditions(), gpu=False, jetson=False).state == "missing"
