"""The findings of a Jetson or a Raspberry Pi, step by step as docs/boards.md lists them; none on other machines.

Every reading comes from a file under a root, so that the tests can put a folder in a board's place. None of it was
run on a board yet.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.doctor.findings import Finding
from capsedge.measure.machine import jetson, raspberry
from capsedge.measure.machine.kernel import ROOT, celsius, text, zones
from capsedge.measure.machine.processor import governor

HOT_C = 80.0
"""Temperature from which a Raspberry Pi lowers its clock (raspberrypi.com/documentation, frequency management)."""

_LIBRARIES = ("usr/lib/aarch64-linux-gnu", "usr/local/cuda/targets/*/lib", "usr/local/cuda/lib64")


def find_board(root: Path = ROOT) -> tuple[Finding, ...]:
    """The findings of this board, in the order of the checklist; empty on other machines.

    Args:
        root: Root of the file system.
    """
    if jetson.is_jetson(root):
        return tuple(_of_jetson(root))
    return tuple(_of_raspberry(root)) if raspberry.model(root) else ()


def _of_jetson(root: Path) -> Iterator[Finding]:
    release = jetson.release_of(root)
    model = text(root / "proc/device-tree/model")
    yield _release(model, release)
    yield _library(root, "CUDA of JetPack", "libcudart.so")
    yield _library(root, "TensorRT of JetPack", "libnvinfer.so")
    mode = (jetson.board(root) or "").partition(", mode ")[2]
    if mode:
        yield Finding("Power mode", "works", f"{mode}, set by nvpmodel")
    else:
        yield Finding("Power mode", "missing", "no file says which", "sudo nvpmodel -q", "unknown")
    yield _temperature(root)


def _release(model: str, release: str) -> Finding:
    major = re.match(r"JetPack (\d+)", release)
    if not release:
        return Finding(
            "JetPack", "missing", f"{model}: its release is unknown", "cat /etc/nv_tegra_release", "unknown"
        )
    if major and int(major[1]) < 7:
        advice = "use JetPack 7: capsedge needs Python 3.11 or later, and earlier releases have 3.10 or older"
        return Finding("JetPack", "installed", f"{model}: {release}", advice, "old-jetpack")
    return Finding("JetPack", "installed", f"{model}: {release}")


def _library(root: Path, subject: str, name: str) -> Finding:
    """A library of JetPack, which the package index does not replace; the highest version of its file."""
    found = [file.name for place in _LIBRARIES for file in root.glob(f"{place}/{name}.*")]
    if found:
        return Finding(subject, "installed", max(found, key=_version))
    return Finding(subject, "missing", f"there is no {name}", "sudo apt install nvidia-jetpack", "no-library")


def _version(name: str) -> list[int]:
    """The numbers after `.so.` in the name of a library."""
    return [int(part) for part in re.findall(r"\d+", name.partition(".so.")[2])]


def _of_raspberry(root: Path) -> Iterator[Finding]:
    yield Finding("Board", "installed", raspberry.model(root))
    limits = raspberry.limits(root)
    if limits is None:
        yield Finding("Throttling", "missing", "no file of the firmware", "vcgencmd get_throttled", "unknown")
    else:
        now, earlier = limits
        said = f"now: {', '.join(now) or 'none'}; since the start: {', '.join(earlier) or 'none'}"
        power = "under-voltage" in (*now, *earlier)
        advice = "use the power supply of this model" if power else "cool the board, and measure again"
        if now or earlier:
            yield Finding("Throttling", "works", said, advice, "throttled")
        else:
            yield Finding("Throttling", "works", said)
    used = governor(root)
    if used == "unavailable":
        yield Finding("Governor", "missing", "no cpufreq driver", code="no-readings")
    else:
        advice = "" if used == "performance" else "for comparable latencies use the governor performance"
        yield Finding("Governor", "works", used, advice)
    yield _temperature(root)


def _temperature(root: Path) -> Finding:
    """The hottest thermal zone."""
    found = [(value, kind) for kind, file in zones(root) for value in celsius(file)]
    if not found:
        return Finding("Thermal zones", "missing", "none has a reading", code="no-readings")
    value, kind = max(found)
    hot = "cool the board before a measurement" if value >= HOT_C else ""
    return Finding(
        "Thermal zones", "works", f"{len(found)}, the hottest {kind} with {value:.1f} °C", hot, "hot" if hot else ""
    )
