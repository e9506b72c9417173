"""The doctor: each finding is proved, and each thing that is missing comes with what to install."""

import shutil
import sys
from pathlib import Path
from types import ModuleType

import onnxruntime
import pytest

from capsedge.runtime import models as built_in
from capsedge.runtime.doctor import Diagnosis, Finding, diagnose
from tests.runtime.fake_tensorrt import HostCuda
from tests.runtime.test_wheels import install


@pytest.fixture(autouse=True)
def builtin(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of built-in models that holds the default one."""
    folder = tmp_path / "builtin"
    folder.mkdir()
    shutil.copy(good, folder / "fashion-mnist.onnx")
    monkeypatch.setattr(built_in, "BUILTIN", folder)
    return folder


def finding(diagnosis: Diagnosis, subject: str) -> Finding:
    return next(found for found in diagnosis.findings if found.subject == subject)


def test_the_cpu_is_proved_by_the_golden_sample() -> None:
    diagnosis = diagnose()

    found = finding(diagnosis, "CPU")
    assert found.state == "works"
    assert "fashion-mnist (built in) gives the golden lengths of 5 images" in found.detail
    assert diagnosis.problems == ()


def test_a_built_in_model_that_fails_its_golden_sample_is_broken(models: Path, builtin: Path) -> None:
    shutil.copy(models / "altered-weight.onnx", builtin / "fashion-mnist.onnx")

    diagnosis = diagnose()

    found = finding(diagnosis, "CPU")
    assert found.state == "broken"
    assert "its weights classes.weight were altered" in found.detail
    assert diagnosis.problems == ("CPU",)


def test_a_provider_that_the_wheel_lacks_names_the_wheel_to_install() -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this is the GPU wheel")

    found = finding(diagnose(), "CUDA")

    assert (found.state, found.detail) == ("missing", "not in the installed ONNX Runtime")
    assert "pip install 'capsedge[gpu]'" in found.advice


@pytest.mark.filterwarnings("ignore:Specified provider")
@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")
def test_a_provider_that_is_listed_and_does_not_run_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: offered)

    found = finding(diagnose(), "CUDA")

    assert found.state == "missing"
    assert "gives CPUExecutionProvider" in found.detail


def test_no_onnxruntime_is_a_problem_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    diagnosis = diagnose()

    found = finding(diagnosis, "ONNX Runtime")
    assert found.state == "missing"
    assert "pip install 'capsedge[cpu]'" in found.detail
    assert finding(diagnosis, "CPU").state == "missing"
    assert diagnosis.problems == ("no provider runs a model",)


def test_two_wheels_are_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "onnxruntime-directml", "1.30.0")
    monkeypatch.syspath_prepend(str(tmp_path))

    diagnosis = diagnose()

    found = finding(diagnosis, "ONNX Runtime")
    assert found.state == "broken"
    assert "onnxruntime-directml" in found.detail
    assert "pip uninstall -y" in found.detail
    assert diagnosis.problems == ("ONNX Runtime",)


def test_a_gpu_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    for parent in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, parent, ModuleType(parent))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", HostCuda())

    assert finding(diagnose(), "NVIDIA GPU") == Finding("NVIDIA GPU", "works", "Stand-in (sm87)")


def test_without_cuda_python_the_gpu_is_unknown_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)

    found = finding(diagnose(), "NVIDIA GPU")

    assert found.state == "missing"
    assert "pip install 'capsedge[trt]'" in found.detail


def test_tensorrt_without_its_libraries_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)

    found = finding(diagnose(), "TensorRT")

    assert found.state == "broken"
    assert "libnvinfer.so.10: cannot open shared object file" in found.detail


def test_tensorrt_that_loads_is_told_with_its_release(monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("tensorrt")
    vars(package)["__version__"] = "10.3.0"
    monkeypatch.setitem(sys.modules, "tensorrt", package)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)

    diagnosis = diagnose()

    assert finding(diagnosis, "TensorRT").detail == "tensorrt 10.3.0 loads"
    assert finding(diagnosis, "TensorRT-RTX").state == "missing"
    assert "capsedge[trt]" in finding(diagnosis, "TensorRT-RTX").advice


def test_whatever_is_missing_comes_with_what_to_do() -> None:
    for found in diagnose().findings:
        if found.state in ("missing", "broken"):
            assert "install" in found.detail + found.advice or "comes with" in found.advice
