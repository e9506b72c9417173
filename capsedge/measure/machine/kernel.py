"""Reading the files in which Linux reports the state of the hardware; unreadable ones give no value."""

from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.machine.record import Reading

ROOT = Path("/")


def text(file: Path) -> str:
    """The content of a file without trailing line end or NUL (device tree); "" where it cannot be read."""
    try:
        return file.read_text(errors="replace").strip("\0\n ")
    except OSError:  # a sensor in standby gives an error too
        return ""


def number(file: Path) -> float | None:
    """The number in a file; None where there is none."""
    try:
        return float(text(file))
    except ValueError:
        return None


def highest(found: Iterator[float] | list[float]) -> Reading:
    """The highest reading, rounded to one decimal; "unavailable" where there are none."""
    readings = list(found)
    return round(max(readings), 1) if readings else "unavailable"


def celsius(file: Path) -> Iterator[float]:
    """The temperature in a file in thousandths of a degree, if plausible: a dead sensor shows 0."""
    value = (number(file) or 0) / 1000
    if value and -50 < value < 150:
        yield value


def zones(root: Path) -> Iterator[tuple[str, Path]]:
    """The type of each thermal zone in lower case, such as `cpu-thermal`, and the file with its temperature."""
    for zone in sorted(root.glob("sys/class/thermal/thermal_zone*")):
        yield text(zone / "type").lower(), zone / "temp"


def sensors(root: Path) -> Iterator[tuple[str, Path]]:
    """The name of each hardware monitoring chip, such as `coretemp`, and its folder."""
    for chip in sorted(root.glob("sys/class/hwmon/hwmon*")):
        yield text(chip / "name"), chip
