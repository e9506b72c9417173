"""The machine that a measurement was taken on, so that a number can be compared with the right other numbers."""

import os
import platform
from pathlib import Path

import msgspec

from capsedge.runtime.wheels import installed_wheels


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a latency depends on beside the model.

    Attributes:
        cpu: Model of the processor.
        cores: Logical cores that this process may use.
        load_average: Average of running processes over the last minute, or None where the system has no such
            number; other work makes every latency longer.
        system: Operating system and architecture.
        python: Version of Python.
        onnxruntime: Name and version of each installed wheel of ONNX Runtime.
    """

    cpu: str
    cores: int
    load_average: float | None
    system: str
    python: str
    onnxruntime: dict[str, str]


def this_machine() -> Machine:
    """Describe the machine, now."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=installed_wheels(),
    )


def _cpu() -> str:
    """Ask the kernel: x86 names its processor in /proc/cpuinfo, a Jetson or a Raspberry Pi in the device tree."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text().strip("\0\n ")
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
