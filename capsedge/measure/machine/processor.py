"""The processor: its name, clock, temperature and governor, as the kernel tells them."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.machine.kernel import ROOT, celsius, highest, number, sensors, text, zones
from capsedge.measure.machine.record import Reading

# Drivers of the sensors in x86 processors: Intel's, AMD's, and AMD's out of the kernel's tree.
_CHIPS = ("coretemp", "k10temp", "zenpower")


def name(root: Path = ROOT) -> str:
    """The processor's model: x86 has it in /proc/cpuinfo, a Jetson or a Raspberry Pi names the board."""
    named = text(root / "proc/device-tree/model") or next(_cpuinfo(root, "model name"), "")
    return named or platform.processor() or platform.machine()


def load_average() -> Reading:
    """Running processes, averaged over the last minute; 0 is a quiet machine."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else "unavailable"


def clock_mhz(root: Path = ROOT) -> Reading:
    """Clock of the fastest core, from the driver of the clock, or from x86's /proc/cpuinfo in a virtual machine."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    driver = [khz / 1000 for file in files if (khz := number(file))]
    return highest(driver or [mhz for line in _cpuinfo(root, "cpu MHz") if (mhz := float(line))])


def governor(root: Path = ROOT) -> str:
    """The kernel's policies for the clock, joined by `+`."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return "+".join(sorted({text(file) for file in files} - {""})) or "unavailable"


def temperature_c(root: Path = ROOT) -> Reading:
    """Hottest sensor of the processor; those of the board, the disk or the GPU do not count."""
    zoned = (value for kind, file in zones(root) if _of_processor(kind) for value in celsius(file))
    return highest([*zoned, *(value for chip, folder in sensors(root) if chip in _CHIPS for value in _chip(folder))])


def _of_processor(zone: str) -> bool:
    """Whether a thermal zone is the processor's: `x86_pkg_temp`, `cpu-thermal`, `BCPU-therm`, `bigcore0-thermal`."""
    return any(word in zone for word in ("x86_pkg_temp", "cpu", "bigcore", "littlecore"))


def _chip(folder: Path) -> Iterator[float]:
    """Temperatures of one chip. AMD's `Tctl` steers the fan and may lie above the true one, which is `Tdie` then."""
    files = {
        text(folder / file.name.replace("input", "label")) or file.name: file for file in folder.glob("temp*_input")
    }
    for label, file in files.items():
        if label != "Tctl" or "Tdie" not in files:
            yield from celsius(file)


def _cpuinfo(root: Path, key: str) -> Iterator[str]:
    """Each core's value of a key."""
    for line in text(root / "proc/cpuinfo").splitlines():
        if line.startswith(key):
            yield line.partition(":")[2].strip()
