"""What is said about the GPU and its driver, by evidence of several kinds."""

import sys
from types import ModuleType

import pytest

from capsedge.measure.doctor import gpu as doctor_gpu
from capsedge.measure.doctor.gpu import find_driver, find_gpu
from capsedge.measure.doctor.presence import Presence
from capsedge.measure.machine import Gpu
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


@pytest.mark.parametrize(
    ("cuda", "presence", "device", "state", "detail", "target"),
    [
        (HostCuda(), WORKSTATION, gpu(), "works", "Stand-in (sm87)", "sm87"),
        (None, WORKSTATION, gpu(), "installed", "NVIDIA GeForce RTX 4070 (sm89)", "sm89"),
        (None, WORKSTATION, None, "installed", "found; its name needs cuda-python or NVML", ""),
        (None, NOTHING, None, "missing", "none here", ""),
        (OldDriver(), NOTHING, None, "missing", "none here", ""),
        (OldDriver(), GIVEN_NONE, None, "missing", "the host has one, but this container has no access to it", ""),
        (
            HostCuda(fail="cudaGetDeviceProperties"),
            WORKSTATION,
            gpu(),
            "broken",
            "NVIDIA GeForce RTX 4070, but CUDA",
            "",
        ),
    ],
)
def test_the_gpu_is_found_by_cuda_or_else_by_its_driver(
    monkeypatch: pytest.MonkeyPatch,
    cuda: ModuleType | None,
    presence: Presence,
    device: Gpu | None,
    state: str,
    detail: str,
    target: str,
) -> None:
    cuda_is(cuda, monkeypatch)
    found = find_gpu(presence, device)
    assert (found.state, found.target) == (state, target)
    assert found.detail.startswith(detail)
    assert "cudaError2" in found.detail or state != "broken"
    assert ("--gpus all" in found.advice) == (presence is GIVEN_NONE)


@pytest.mark.parametrize(
    ("presence", "device", "wanted", "state", "detail", "advice"),
    [
        (NOTHING, None, {"cuda-python": 13}, "missing", "none loaded", ""),
        (
            WORKSTATION,
            gpu(),
            {"cuda-python": 13, "ONNX Runtime": 12},
            "installed",
            "580.65.06, for CUDA up to 13.0",
            "",
        ),
        (
            WORKSTATION,
            None,
            {"cuda-python": 13},
            "installed",
            "580.65.06; its CUDA release is not known without NVML",
            "",
        ),
        (JETSON, None, {"cuda-python": 13}, "installed", "loaded; its version is not known", ""),
        (
            *(WORKSTATION, gpu("570.86.15", "12.8"), {"cuda-python": 13, "ONNX Runtime": 12}, "broken"),
            *("570.86.15, for CUDA up to 12.8; cuda-python needs CUDA 13", "update NVIDIA's driver to 580 or later"),
        ),
        (
            *(WORKSTATION, gpu("470.256.02", "11.4"), {"ONNX Runtime": 12}, "broken"),
            *(
                "470.256.02, for CUDA up to 11.4; ONNX Runtime needs CUDA 12",
                "update NVIDIA's driver to 525 or later",
            ),
        ),
    ],
)
def test_a_driver_is_judged_by_the_cuda_of_each_library(
    presence: Presence, device: Gpu | None, wanted: dict[str, int], state: str, detail: str, advice: str
) -> None:
    """CUDA 13 needs driver 580, CUDA 12 needs 525: NVIDIA's table of minor version compatibility."""
    found = find_driver(presence, device, wanted)
    assert (found.state, found.detail, found.advice) == (state, detail, advice)


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
