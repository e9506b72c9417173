"""Detecting an NVIDIA GPU by the kernel's files, and obstacles to its use by CUDA.

No library is loaded, because the result says what should work here, even where libraries are missing.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from capsedge.measure.machine import jetson
from capsedge.measure.machine.kernel import ROOT, text

OLDEST_DRIVERS = {13: 580, 12: 525, 11: 450}
"""The oldest driver for each CUDA (docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html)."""

_NVIDIA = "0x10de"  # PCI vendor
_DISPLAY = "0x03"  # PCI class of graphics and 3D controllers; the GPU's audio output is a separate device

Place = Literal["machine", "container", "wsl", "jetson"]


@dataclass(frozen=True)
class Presence:
    """The NVIDIA GPU and driver that the kernel shows.

    Attributes:
        place: Kind of environment.
        hardware: Whether there is a GPU.
        driver: Version of the loaded driver, or "".
        reachable: Whether this process has access to the driver's device files.
    """

    place: Place
    hardware: bool
    driver: str
    reachable: bool

    @property
    def usable(self) -> bool:
        """Whether CUDA should find a GPU here."""
        return self.hardware and self.reachable and not hidden()


class Obstacle(NamedTuple):
    """A reason why CUDA cannot use a GPU.

    Attributes:
        code: Such as `no-gpu`; it stays when the texts change.
        detail: The reason in words.
        advice: What to do; "" where there is no GPU.
    """

    code: str
    detail: str
    advice: str = ""


def read_presence(root: Path = ROOT) -> Presence:
    """Read the kernel's files."""
    place = _place(root)
    found = re.search(r"\b\d{3}\.\d+(\.\d+)?\b", text(root / "proc/driver/nvidia/version"))
    driver = found.group() if found else ""
    if place == "wsl":
        windows = (root / "usr/lib/wsl/lib/libcuda.so.1").exists()  # provided by the driver for Windows
        return Presence(place, hardware=windows, driver=driver, reachable=windows)
    if place == "jetson":
        return Presence(place, hardware=True, driver=driver, reachable=any(root.glob("dev/nv*gpu")))
    hardware = bool(driver) or _on_the_bus(root) or jetson.is_jetson(root)
    return Presence(place, hardware, driver, reachable=any(root.glob("dev/nvidia[0-9]*")))


def hidden() -> bool:
    """Whether CUDA_VISIBLE_DEVICES hides every GPU."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip() in ("", "-1")


def obstacle(presence: Presence) -> Obstacle | None:
    """The reason why CUDA cannot use a GPU; None where no reason is known."""
    if not presence.hardware and presence.place == "wsl":
        advice = "install NVIDIA's driver on Windows, and none in WSL"
        return Obstacle("no-gpu", "Windows provides none to WSL", advice)
    if not presence.hardware:
        return Obstacle("no-gpu", "none here")
    if hidden():
        return Obstacle("hidden", "hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES")
    return None if presence.reachable else _unreachable(presence)


def _unreachable(presence: Presence) -> Obstacle:
    """Why a GPU that is here has no device file, and what to do."""
    if presence.place == "container":
        return Obstacle(
            "not-in-container",
            "the host has one, but this container has no access to it",
            "start the container with --gpus all, or --runtime nvidia on a Jetson (NVIDIA's container toolkit)",
        )
    if presence.driver:
        detail = f"driver {presence.driver} is loaded but shows no device"
        return Obstacle("no-device", detail, "run nvidia-smi once, as root")
    return Obstacle(
        "driver-not-loaded",
        "found, but its driver is not loaded",
        f"install NVIDIA's driver, {OLDEST_DRIVERS[13]} or later for CUDA 13",
    )


def _place(root: Path) -> Place:
    if (root / "dev/dxg").exists() or "microsoft" in text(root / "proc/sys/kernel/osrelease").lower():
        return "wsl"
    reachable = any(root.glob("dev/nv*gpu"))
    if jetson.is_jetson(root) and (reachable or not _in_container(root)):
        return "jetson"
    return "container" if _in_container(root) else "machine"


def _in_container(root: Path) -> bool:
    marks = any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv"))
    return marks or any(
        word in text(root / "proc/1/cgroup") for word in ("docker", "kubepods", "containerd", "libpod")
    )


def _on_the_bus(root: Path) -> bool:
    devices = root.glob("sys/bus/pci/devices/*")
    return any(
        text(device / "vendor") == _NVIDIA and text(device / "class").startswith(_DISPLAY) for device in devices
    )
