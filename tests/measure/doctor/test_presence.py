"""Whether a GPU is here, by what the kernel shows in each kind of place."""

from pathlib import Path

import pytest

from capsedge.measure.doctor.presence import obstacle, read_presence
from tests.measure.machine.roots import ORIN_NANO, WORKSTATION, root

BUS = {name: content for name, content in WORKSTATION.items() if name.startswith("sys/bus")}
DRIVER = {name: content for name, content in WORKSTATION.items() if name.startswith("proc/driver")}


@pytest.fixture(autouse=True)
def visible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is hidden from CUDA."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_machine_without_a_gpu_gets_no_advice(tmp_path: Path) -> None:
    found = read_presence(tmp_path)

    assert (found.place, found.hardware, found.usable) == ("machine", False, False)
    assert obstacle(found) == ("no-gpu", "none here", "")


def test_a_workstation_with_its_driver_has_no_obstacle(tmp_path: Path) -> None:
    found = read_presence(root(tmp_path, WORKSTATION))

    assert (found.place, found.driver, found.usable) == ("machine", "580.65.06", True)
    assert obstacle(found) is None


def test_a_gpu_on_the_bus_without_a_driver_needs_one(tmp_path: Path) -> None:
    found = read_presence(root(tmp_path, BUS))

    assert (found.hardware, found.usable) == (True, False)
    stands = obstacle(found)
    assert stands is not None
    assert stands.code == "driver-not-loaded"
    assert stands.advice == "install NVIDIA's driver, 580 or later for CUDA 13"


def test_nvidia_s_sound_output_or_another_s_graphics_is_no_gpu(tmp_path: Path) -> None:
    device = "sys/bus/pci/devices/0000:01:00.0"
    sound = {f"{device}/vendor": "0x10de\n", f"{device}/class": "0x040300\n"}
    intel = {f"{device}/vendor": "0x8086\n", f"{device}/class": "0x030000\n"}

    assert not read_presence(root(tmp_path / "sound", sound)).hardware
    assert not read_presence(root(tmp_path / "intel", intel)).hardware


@pytest.mark.parametrize(
    "mark", [{".dockerenv": ""}, {"run/.containerenv": ""}, {"proc/1/cgroup": "0::/docker/4f1a\n"}]
)
def test_a_container_that_was_not_given_the_host_s_gpu_says_how_to(tmp_path: Path, mark: dict[str, str]) -> None:
    found = read_presence(root(tmp_path, DRIVER | BUS | mark))
    stands = obstacle(found)

    assert (found.place, found.usable) == ("container", False)
    assert stands is not None
    assert stands.code == "not-in-container"
    assert "--gpus all" in stands.advice


def test_a_container_that_was_given_it_has_no_obstacle(tmp_path: Path) -> None:
    assert read_presence(root(tmp_path, WORKSTATION | {".dockerenv": ""})).usable


def test_a_driver_without_a_device_needs_one_start_as_root(tmp_path: Path) -> None:
    stands = obstacle(read_presence(root(tmp_path, DRIVER | BUS)))

    assert stands is not None
    assert stands.code == "no-device"
    assert "580.65.06" in stands.detail
    assert "nvidia-smi" in stands.advice


def test_wsl_has_the_gpu_that_windows_provides(tmp_path: Path) -> None:
    wsl = {"dev/dxg": "", "proc/sys/kernel/osrelease": "5.15.153.1-microsoft-standard-WSL2\n"}
    without = read_presence(root(tmp_path / "without", wsl))
    lent = read_presence(root(tmp_path / "lent", wsl | {"usr/lib/wsl/lib/libcuda.so.1": ""}))

    assert (without.place, without.usable) == ("wsl", False)
    assert obstacle(without) == (
        "no-gpu",
        "Windows provides none to WSL",
        "install NVIDIA's driver on Windows, and none in WSL",
    )
    assert (lent.place, lent.usable) == ("wsl", True)


def test_a_jetson_has_its_gpu_in_the_chip(tmp_path: Path) -> None:
    found = read_presence(root(tmp_path, ORIN_NANO))

    assert (found.place, found.usable) == ("jetson", True)


def test_a_container_on_a_jetson_must_be_given_the_gpu_too(tmp_path: Path) -> None:
    files = {name: content for name, content in ORIN_NANO.items() if not name.startswith("dev/")}
    found = read_presence(root(tmp_path, files | {".dockerenv": ""}))

    assert (found.place, found.hardware, found.usable) == ("container", True, False)
    stands = obstacle(found)
    assert stands is not None
    assert "--runtime nvidia on a Jetson" in stands.advice


@pytest.mark.parametrize("value", ["", "-1"])
def test_a_variable_may_hide_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    found = read_presence(root(tmp_path, WORKSTATION))

    assert not found.usable
    assert obstacle(found) == ("hidden", "hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
