"""Whether a GPU is here, by what the kernel shows in each kind of place."""

from pathlib import Path

import pytest

from capsedge.measure.doctor.presence import obstacle, read_presence
from tests.measure.machine.roots import ORIN_NANO, WORKSTATION, root

BUS = {name: content for name, content in WORKSTATION.items() if name.startswith("sys/bus")}
DRIVER = {name: content for name, content in WORKSTATION.items() if name.startswith("proc/driver")}


DOCKER = {".dockerenv": ""}
WSL = {"dev/dxg": "", "proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}
JETSON_WITHOUT_DEVICE = {name: content for name, content in ORIN_NANO.items() if not name.startswith("dev/")}


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hidden from CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.mark.parametrize(
    ("files", "place", "hardware", "code", "advice"),
    [
        ({}, "machine", False, "no-gpu", ""),
        (WORKSTATION, "machine", True, "", ""),
        (BUS, "machine", True, "driver-not-loaded", "install NVIDIA's driver, 580 or later for CUDA 13"),
        (DRIVER | BUS, "machine", True, "no-device", "run nvidia-smi once, as root"),
        (WORKSTATION | DOCKER, "container", True, "", ""),
        (DRIVER | BUS | DOCKER, "container", True, "not-in-container", "start the container with --gpus all"),
        (DRIVER | BUS | {"run/.containerenv": ""}, "container", True, "not-in-container", "start"),
        (DRIVER | BUS | {"proc/1/cgroup": "0::/docker/4f1a\n"}, "container", True, "not-in-container", "start"),
        (WSL, "wsl", False, "no-gpu", "install NVIDIA's driver on Windows, and none in WSL"),
        (WSL | {"usr/lib/wsl/lib/libcuda.so.1": ""}, "wsl", True, "", ""),
        (ORIN_NANO, "jetson", True, "", ""),
        (JETSON_WITHOUT_DEVICE | DOCKER, "container", True, "not-in-container", "start the container with"),
    ],
)
def test_each_place_has_its_obstacle_and_its_way_out(
    files: dict[str, str], place: str, hardware: bool, code: str, advice: str, tmp_path: Path
) -> None:
    found = read_presence(root(tmp_path, files))
    assert (found.place, found.hardware, found.usable) == (place, hardware, not code)
    assert found.driver == ("580.65.06" if "proc/driver/nvidia/version" in files else "")
    stands = obstacle(found)
    assert (stands.code if stands else "") == code
    assert (stands.advice if stands else "").startswith(advice)


def test_nvidia_s_sound_output_or_another_s_graphics_is_no_gpu(tmp_path: Path) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    sound = {f"{device}/vendor": "0x10de\n", f"{device}/class": "0x040300\n"}
    intel = {f"{device}/vendor": "0x8086\n", f"{device}/class": "0x030000\n"}

    assert not read_presence(root(tmp_path / "sound", sound)).hardware
    assert not read_presence(root(tmp_path / "intel", intel)).hardware


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_variable_may_hide_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = read_presence(root(tmp_path, WORKSTATION))

    assert not found.usable
    assert obstacle(found) == ("hidden", "hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
