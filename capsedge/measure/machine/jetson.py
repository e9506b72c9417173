"""Readings of a Jetson that NVML does not give: release, power mode, clocks, temperatures, power.

They come from files that every user can read; no program is run. Not run on a Jetson yet: the formats of the files
are those that users of such boards have published.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from capsedge.measure.machine.kernel import ROOT, celsius, highest, number, sensors, text, zones
from capsedge.measure.machine.record import Gpu, Reading

# Name and compute capability of the GPU, by the chip's name in the device tree.
_CHIPS = {
    "tegra210": ("Maxwell", "sm53"),
    "tegra186": ("Pascal", "sm62"),
    "tegra194": ("Xavier", "sm72"),
    "tegra234": ("Orin", "sm87"),
    "tegra264": ("Thor", "sm110"),
}

# JetPack by release of Jetson Linux (developer.nvidia.com/embedded/jetpack-archive), for systems without its package.
_JETPACKS = {
    "32.6.1": "4.6",
    "32.7.1": "4.6.1",
    "35.1.0": "5.0.2",
    "35.2.1": "5.1",
    "35.3.1": "5.1.1",
    "35.4.1": "5.1.2",
    "36.3.0": "6.0",
    "36.4.0": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.5.0": "6.2.2",
    "36.5.2": "6.2.3",
    "38.2.0": "7.0",
    "38.2.1": "7.0",
    "38.4.0": "7.1",
    "39.2.0": "7.2",
    "39.2.1": "7.2.1",
}

# Names of the power rail of the whole module.
_MODULE_RAILS = ("VDD_IN", "POM_5V_IN")


def is_jetson(root: Path = ROOT) -> bool:
    """Whether this is a Jetson."""
    return bool(_chip(root))


def board(root: Path = ROOT) -> str | None:
    """The release of a Jetson's software and its power mode; None elsewhere."""
    release, mode = release_of(root), _power_mode(root)
    if not is_jetson(root) and not release:
        return None
    return ", ".join(filter(None, (release or "a Jetson of unknown release", f"mode {mode}" if mode else "")))


def release_of(root: Path = ROOT) -> str:
    """Releases of JetPack and Jetson Linux, such as `JetPack 6.2 (L4T 36.4.3)`; "" where they are not known.

    The first line of the file reads `# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, ...`.
    """
    found = re.match(r"# R(\d+) \(release\), REVISION: ([\d.]+)", text(root / "etc/nv_tegra_release"))
    linux = ".".join(found.groups()) if found else ""
    jetpack = _installed_jetpack(root) or _JETPACKS.get(f"{linux}.0" if linux.count(".") == 1 else linux, "")
    if not linux:
        return f"JetPack {jetpack}" if jetpack else ""
    return f"JetPack {jetpack} (L4T {linux})" if jetpack else f"L4T {linux}"


def gpu(root: Path = ROOT) -> Gpu | None:
    """The GPU of a Jetson; None elsewhere. It has no memory of its own."""
    if not (chip := _chip(root)):
        return None
    name, target = _CHIPS[chip]
    return Gpu(name=name, target=target, driver="unavailable", cuda="unavailable", memory_mb="unavailable")


def clock_mhz(root: Path = ROOT) -> Reading:
    """Clock of the GPU. Its device is `17000000.ga10b`, `17000000.gpu` or `57000000.gpu`, and `gpu-gpc-0` on Thor."""
    devices = root.glob("sys/class/devfreq/*")
    files = (device / "cur_freq" for device in devices if _of_gpu(device.name))
    return highest(hz / 1e6 for file in files if (hz := number(file)))


def temperature_c(root: Path = ROOT) -> Reading:
    """Temperature of the GPU: its zone is `gpu-thermal`, or `GPU-therm` on boards before Orin."""
    return highest(value for kind, file in zones(root) if kind.startswith("gpu") for value in celsius(file))


def gpu_power_w(root: Path = ROOT) -> Reading:
    """Power of the rail for the GPU alone; Orin Nano and NX have none, only `VDD_CPU_GPU_CV`."""
    return highest(watts for rail, watts in _rails(root) if "GPU" in rail and "CPU" not in rail)


def board_power_w(root: Path = ROOT) -> Reading:
    """Power of the whole module."""
    return highest(watts for rail, watts in _rails(root) if rail in _MODULE_RAILS)


def _chip(root: Path) -> str:
    """The chip's name from the device tree, whose entries, such as `nvidia,tegra234`, end with NUL."""
    entries = text(root / "proc/device-tree/compatible").split("\0")
    return next((chip for chip in _CHIPS if any(entry.startswith(f"nvidia,{chip}") for entry in entries)), "")


def _of_gpu(device: str) -> bool:
    return device.endswith((".gpu", ".ga10b", ".gv11b", ".gp10b", ".gm20b")) or device.startswith("gpu-gpc")


def _installed_jetpack(root: Path) -> str:
    """The version of the package nvidia-jetpack, such as 6.2 from `6.2+b77` or 5.1.1 from `5.1.1-b56`."""
    for record in text(root / "var/lib/dpkg/status").split("\n\n"):
        if re.match(r"Package: nvidia-jetpack\n", record):
            found = re.search(r"^Version: ([\d.]+)", record, re.MULTILINE)
            return found.group(1) if found and "\nStatus: install ok installed" in record else ""
    return ""


def _power_mode(root: Path) -> str:
    """The name of the power mode: one file has its number (`pmode:0002`), another its name."""
    found = re.search(r"pmode:0*(\d+)", text(root / "var/lib/nvpmodel/status"))
    if not found:
        return ""
    modes = re.finditer(r"^< *POWER_MODEL +ID=(\d+) +NAME=(\S+) *>", text(root / "etc/nvpmodel.conf"), re.MULTILINE)
    names: dict[str, str] = {mode[1]: mode[2] for mode in modes}
    return names.get(found[1], found[1])


def _rails(root: Path) -> Iterator[tuple[str, float]]:
    """Name and power in watts of each rail that an INA3221 measures: millivolts times milliamperes."""
    for name, chip in sensors(root):
        if name == "ina3221":
            for label in sorted(chip.glob("in[1-3]_label")):
                millivolts = number(chip / label.name.replace("label", "input"))
                milliamperes = number(chip / label.name.replace("in", "curr").replace("label", "input"))
                if millivolts and milliamperes:
                    yield text(label), millivolts * milliamperes / 1e6
