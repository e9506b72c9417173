"""Readings of a Raspberry Pi: its model, and the firmware's report of low voltage and throttling.

They come from files; no program is run. Not run on a Raspberry Pi yet.
"""

from pathlib import Path

from capsedge.measure.machine.kernel import ROOT, text

# Bits of the firmware's report (raspberrypi.com/documentation/computers/os.html, vcgencmd get_throttled). The driver
# of the firmware shows the same number, in hexadecimal digits, in a file.
_NOW = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_SINCE_START = 16  # the same bits, 16 higher: it occurred since the start


def model(root: Path = ROOT) -> str:
    """The model, such as `Raspberry Pi 5 Model B Rev 1.0`; "" elsewhere."""
    found = text(root / "proc/device-tree/model")
    return found if found.startswith("Raspberry Pi") else ""


def limits(root: Path = ROOT) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """What limits the clock now, and what limited it since the start; None where no file says so."""
    for file in sorted(root.glob("sys/devices/platform/soc*/*firmware/get_throttled")):
        try:
            bits = int(text(file), 16)
        except ValueError:
            continue
        now = tuple(name for bit, name in _NOW.items() if bits >> bit & 1)
        return now, tuple(name for bit, name in _NOW.items() if bits >> (bit + _SINCE_START) & 1)
    return None
