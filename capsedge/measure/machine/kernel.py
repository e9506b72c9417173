"""The small files in which a Linux kernel tells the state of the hardware; one that cannot be read tells nothing."""

from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.machine.record import Reading

ROOT = Path("/")


def text(file: Path) -> str:
    """The content of a file without its line end, or a device tree's NUL; "" where it cannot be read."""
    try:
        return file.read_text(errors="replace").strip("\0\n ")
    except OSError:  # a sensor that sleeps answers with an error as well
        return ""


def number(file: Path) -> float | None:
    """The number in a file; None where there is none."""
    try:
        return float(text(file))
    except ValueError:
        return None


def highest(found: Iterator[float] | list[float]) -> Reading:
    """The highest of some readings, to one decimal; "unavailable" where there are none."""
    readings = list(found)
    return round(max(readings), 1) if readings else "unavailable"


def celsius(file: Path) -> Iterator[float]:
    """The temperature in a file of thousandths of a degree, where it is one: 0 is what a dead sensor shows."""
    value = (number(file) or 0) / 1000
    if value and -50 < value < 150:
        yield value


def zones(root: Path) -> Iterator[tuple[str, Path]]:
    """The type of each thermal zone, such as `cpu-thermal`, in small letters, and the file of its temperature."""
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        yield text(zone / "type").lower(), zone / "temp"


def sensors(root: Path) -> Iterator[tuple[str, Path]]:
    """The name of each chip of the hardware monitor, such as `coretemp`, and its folder."""
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        yield text(chip / "name"), chip
