"""Readings of the GPU by NVIDIA's management library (NVML), through its official module pynvml.

Each reading is a separate call: a Jetson supports few of them, and one that is refused is "unavailable". The module
is imported only where a file of the driver exists. Not run on a GPU yet.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from capsedge.errors import CapsedgeError
from capsedge.measure.machine.kernel import ROOT
from capsedge.measure.machine.record import Gpu, Reading, Unavailable
from capsedge.runtime.tensorrt.cuda import checked, load_cuda

# Files of the driver on a PC or server, in WSL, and on a Jetson.
_DRIVER = ("proc/driver/nvidia/version", "dev/nvidiactl", "dev/dxg", "dev/nvhost-ctrl-gpu", "dev/nvgpu", "dev/nvmap")

_PLACE_LENGTH = 13  # of the C string with its NUL

# Suffixes of the constants' names. Idling, and clocks set by the user, do not count as throttling.
_REASONS = {
    "SwPowerCap": "power limit",
    "HwSlowdown": "hardware slowdown",
    "SyncBoost": "slowest GPU of its group",
    "SwThermalSlowdown": "temperature",
    "HwThermalSlowdown": "temperature (hardware)",
    "HwPowerBrakeSlowdown": "power brake",
    "BoardLimit": "board limit",
    "Reliability": "reliability limit",
}


def driver_may_be_here(root: Path = ROOT) -> bool:
    """Whether this machine or container has a file of NVIDIA's driver; always True on Windows."""
    return sys.platform == "win32" or any((root / file).exists() for file in _DRIVER)


class Nvml:
    """Readings of the device that CUDA uses."""

    def __init__(self, pynvml: Any) -> None:
        """Start NVML and find the device.

        Raises:
            pynvml.NVMLError: There is no NVML, or no such device.
        """
        pynvml.nvmlInit()
        self._nvml = pynvml
        self._handle = _device(pynvml)

    def gpu(self) -> Gpu:
        """Describe the device."""
        nvml = self._nvml
        major, minor = self._asked(nvml.nvmlDeviceGetCudaComputeCapability) or (0, 0)
        cuda = self._tried(nvml.nvmlSystemGetCudaDriverVersion) or 0
        memory = self._asked(nvml.nvmlDeviceGetMemoryInfo)
        return Gpu(
            name=self._asked(nvml.nvmlDeviceGetName) or "unavailable",
            target=f"sm{major}{minor}" if major else "unavailable",
            driver=self._tried(nvml.nvmlSystemGetDriverVersion) or "unavailable",
            cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "unavailable",
            memory_mb=_reading(memory and memory.total, 2**20),
        )

    def clock_mhz(self) -> Reading:
        """Clock of the multiprocessors."""
        return _reading(self._asked(self._nvml.nvmlDeviceGetClockInfo, self._nvml.NVML_CLOCK_SM))

    def memory_clock_mhz(self) -> Reading:
        """Clock of the memory."""
        return _reading(self._asked(self._nvml.nvmlDeviceGetClockInfo, self._nvml.NVML_CLOCK_MEM))

    def temperature_c(self) -> Reading:
        """Temperature of the chip."""
        return _reading(self._asked(self._nvml.nvmlDeviceGetTemperature, self._nvml.NVML_TEMPERATURE_GPU))

    def power_w(self) -> Reading:
        """Power draw; NVML gives milliwatts."""
        return _reading(self._asked(self._nvml.nvmlDeviceGetPowerUsage), 1000)

    def energy_mj(self) -> Reading:
        """Energy used since the driver was loaded; GPUs from Volta on count it."""
        return _reading(self._asked(self._nvml.nvmlDeviceGetTotalEnergyConsumption))

    def throttling(self) -> tuple[str, ...] | Unavailable:
        """Reasons for throttling in words; drivers before 535 have only the older of the two functions."""
        for name in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            function = getattr(self._nvml, name, None)
            bits = self._asked(function) if function else None
            if bits is not None:
                flags = {
                    word: getattr(self._nvml, f"nvmlClocksThrottleReason{end}", 0) for end, word in _REASONS.items()
                }
                return tuple(word for word, flag in flags.items() if bits & flag)
        return "unavailable"

    def _asked(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._tried(function, self._handle, *arguments)

    def _tried(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function; None where the call is refused or the driver is older than the module."""
        try:
            return function(*arguments)
        except self._nvml.NVMLError:
            return None


@cache
def nvml() -> Nvml | None:
    """NVML, initialized once; None without a driver, module or device."""
    if not driver_may_be_here():
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        return Nvml(pynvml)
    except pynvml.NVMLError:
        return None


def _device(pynvml: Any) -> Any:
    """The device that CUDA uses, by its PCI bus address, or else the first in CUDA_VISIBLE_DEVICES.

    NVML orders the devices by bus address, CUDA by speed: the numbers agree only for equal GPUs, or with
    CUDA_DEVICE_ORDER=PCI_BUS_ID.
    """
    if place := _place():
        with suppress(pynvml.NVMLError):  # a Jetson's GPU is not on a PCI bus
            return pynvml.nvmlDeviceGetHandleByPciBusId(place)
    wanted = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if wanted.startswith(("GPU-", "MIG-")):
        return next(_by_uuid(pynvml, wanted), None) or pynvml.nvmlDeviceGetHandleByUUID(wanted)
    # An empty list or an invalid number hides every device from CUDA; NVML refuses the index below too.
    return pynvml.nvmlDeviceGetHandleByIndex(int(wanted) if wanted.isdecimal() else pynvml.nvmlDeviceGetCount())


def _place() -> str:
    """PCI bus address of CUDA's first device, such as `0000:01:00.0`; "" where CUDA is not available."""
    try:
        answer: bytes = checked(load_cuda().cudaDeviceGetPCIBusId(_PLACE_LENGTH, 0))
    except CapsedgeError:
        return ""
    return answer.partition(b"\0")[0].decode().strip()


def _by_uuid(pynvml: Any, start: str) -> Iterator[Any]:
    """Devices whose UUID has this start: CUDA accepts shortened UUIDs."""
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        if pynvml.nvmlDeviceGetUUID(handle).startswith(start):
            yield handle


def _reading(value: float | None, per_unit: float = 1) -> Reading:
    """A reading in our unit; None and 0 are "unavailable"."""
    return round(value / per_unit, 1) if value else "unavailable"
