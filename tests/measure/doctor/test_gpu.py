"""What is said about the GPU and its driver, by evidence of several kinds."""

import sys
from types import ModuleType

import pytest

from capsedge.measure.doctor import gpu as doctor_gpu
from capsedge.measure.doctor.findings import Finding
from capsedge.measure.doctor.gpu import find_driver, find_gpu
from capsedge.measure.doctor.presence import Presence
from tests.measure.doctor.places import CONTAINER, GIVEN_NONE, JETSON, NOTHING, WORKSTATION, WSL, gpu
from tests.runtime.fake_tensorrt import HostCuda, Status


class OldDriver(HostCuda):
    """CUDA where its driver is missing or too old: the status that the real one gives here."""

    def cudaGetDeviceCount(self) -> tuple[Status, int]:  # noqa: N802 - CUDA's name
        return type("cudaError_t", (Status,), {"name": "cudaErrorInsufficientDriver"})(35), 0


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hidden from CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def cuda_is(module: ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for parent in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, parent, module and ModuleType(parent))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", module)


def test_a_gpu_that_cuda_finds_works_and_names_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_is(HostCuda(), monkeypatch)

    assert find_gpu(WORKSTATION, gpu()) == Finding("NVIDIA GPU", "works", "Stand-in (sm87)", target="sm87")


def test_without_cuda_python_the_gpu_is_known_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_is(None, monkeypatch)

    found = find_gpu(WORKSTATION, gpu())
    assert (found.state, found.detail, found.target) == ("installed", "NVIDIA GeForce RTX 4070 (sm89)", "sm89")
    assert find_gpu(WORKSTATION, None).state == "installed"


@pytest.mark.parametrize("cuda", [None, OldDriver()])
def test_no_gpu_is_a_fact_and_no_alarm(monkeypatch: pytest.MonkeyPatch, cuda: ModuleType | None) -> None:
    cuda_is(cuda, monkeypatch)

    assert find_gpu(NOTHING, None) == Finding("NVIDIA GPU", "missing", "none here", code="no-gpu")
    assert find_driver(NOTHING, None, {"cuda-python": 13}).state == "missing"


def test_a_container_without_a_gpu_says_how_to_give_it_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_is(OldDriver(), monkeypatch)
    found = find_gpu(GIVEN_NONE, None)

    assert found.state == "missing"
    assert "--gpus all" in found.advice


def test_a_driver_without_its_library_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_is(OldDriver(), monkeypatch)
    monkeypatch.setattr(doctor_gpu, "_driver_library", lambda: None)

    assert "libcuda.so.1" in find_gpu(WORKSTATION, None).detail
    assert "NVIDIA_DRIVER_CAPABILITIES must hold compute" in find_gpu(CONTAINER, None).detail


@pytest.mark.parametrize(
    ("presence", "advice"),
    [
        (WORKSTATION, "update NVIDIA's driver to 580 or later"),
        (CONTAINER, "update NVIDIA's driver on the host to 580 or later"),
        (WSL, "update NVIDIA's driver on Windows to 580 or later"),
        (JETSON, "upgrade JetPack"),
    ],
)
def test_an_old_driver_is_updated_where_it_lives(
    monkeypatch: pytest.MonkeyPatch, presence: Presence, advice: str
) -> None:
    cuda_is(OldDriver(), monkeypatch)
    monkeypatch.setattr(doctor_gpu, "_driver_library", object)
    found = find_gpu(presence, gpu("535.183.01", "12.2"))

    assert (found.state, found.code) == ("broken", "driver-too-old")
    assert found.advice.startswith(advice)


def test_another_failure_of_cuda_is_told_in_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda_is(HostCuda(fail="cudaGetDeviceProperties"), monkeypatch)
    found = find_gpu(WORKSTATION, gpu())

    assert found.state == "broken"
    assert "cudaError2" in found.detail


def test_a_driver_that_supports_every_library_is_told_with_its_cuda() -> None:
    found = find_driver(WORKSTATION, gpu(), {"cuda-python": 13, "ONNX Runtime": 12})

    assert found == Finding("NVIDIA driver", "installed", "580.65.06, for CUDA up to 13.0")


def test_a_driver_too_old_for_a_wheel_names_the_wheel_and_the_driver() -> None:
    """CUDA 13 needs driver 580, CUDA 12 needs 525: NVIDIA's table of minor version compatibility."""
    thirteen = find_driver(WORKSTATION, gpu("570.86.15", "12.8"), {"cuda-python": 13, "ONNX Runtime": 12})
    twelve = find_driver(WORKSTATION, gpu("470.256.02", "11.4"), {"ONNX Runtime": 12})

    assert (thirteen.state, twelve.state) == ("broken", "broken")
    assert thirteen.detail == "570.86.15, for CUDA up to 12.8; cuda-python needs CUDA 13"
    assert thirteen.advice.endswith("to 580 or later")
    assert twelve.advice.endswith("to 525 or later")


def test_a_driver_of_which_the_cuda_is_unknown_is_not_judged() -> None:
    assert find_driver(WORKSTATION, None, {"cuda-python": 13}).state == "installed"
    assert find_driver(JETSON, None, {"cuda-python": 13}).state == "installed"
