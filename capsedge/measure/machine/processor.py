"""Name, clock, temperature and governor of the processor, from the kernel's files."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.machine.kernel import ROOT, celsius, highest, number, sensors, text, zones
from capsedge.measure.machine.record import Reading

# Drivers of the sensors in x86 processors: Intel's, AMD's, and an out-of-tree one for AMD.
_CHIPS = ("coretemp", "k10temp", "zenpower")


def name(root: Path = ROOT) -> str:
    """Model of the processor from /proc/cpuinfo on x86, or of the board on a Jetson or a Raspberry Pi."""
    named = text(root / "proc/device-tree/model") or next(_cpuinfo(root, "model name"), "")
    return named or platform.processor() or platform.machine()


def load_average() -> Reading:
    """Number of running processes, averaged over the last minute; 0 is an idle machine."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # Windows, and systems that cannot obtain it, such as a jail without /proc
        return "unavailable"


def clock_mhz(root: Path = ROOT) -> Reading:
    """Clock of the fastest core, from the cpufreq driver, or on x86 virtual machines from /proc/cpuinfo."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq")
    driver = [khz / 1000 for file in files if (khz := number(file))]
    return highest(driver or [mhz for line in _cpuinfo(root, "cpu MHz") if (mhz := float(line))])


def governor(root: Path = ROOT) -> str:
    """The cpufreq governors, joined by `+`."""
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return "+".join(sorted({text(file) for file in files} - {""})) or "unavailable"


def temperature_c(root: Path = ROOT) -> Reading:
    """Highest temperature of the processor's sensors, without those of the board, the disk or the GPU."""
    zoned = (value for kind, file in zones(root) if _of_processor(kind) for value in celsius(file))
    return highest([*zoned, *(value for chip, folder in sensors(root) if chip in _CHIPS for value in _chip(folder))])


def _of_processor(zone: str) -> bool:
    """Whether a thermal zone is of the processor: `x86_pkg_temp`, `cpu-thermal`, `BCPU-therm`, `bigcore0-thermal`."""
    return any(word in zone for word in ("x86_pkg_temp", "cpu", "bigcore", "littlecore"))


def _chip(folder: Path) -> Iterator[float]:
    """Temperatures of one chip. AMD's `Tctl` controls the fan and may exceed the real temperature `Tdie`."""
    files = {
        text(folder / file.name.replace("input", "label")) or file.name: file for file in folder.glob("temp*_input")
    }
    for label, file in files.items():
        if label != "Tctl" or "Tdie" not in files:
            yield from celsius(file)


def _cpuinfo(root: Path, key: str) -> Iterator[str]:
    """The value of a key for each core."""
    for line in text(root / "proc/cpuinfo").splitlines():
        if line.startswith(key):
            yield line.partition(":")[2].strip()
