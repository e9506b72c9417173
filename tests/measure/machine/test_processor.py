"""The processor as the kernel's files tell it: on a board, on a workstation, and where they say nothing."""

from pathlib import Path

import pytest

from capsedge.measure.machine import processor
from tests.measure.machine.roots import ORIN_NANO, WORKSTATION, root


def test_a_machine_that_tells_nothing_gives_no_zero(tmp_path: Path) -> None:
    told = (processor.clock_mhz(tmp_path), processor.temperature_c(tmp_path), processor.governor(tmp_path))

    assert told == ("unavailable",) * 3
    assert processor.name(tmp_path)


def test_the_clock_is_that_of_the_fastest_core(tmp_path: Path) -> None:
    assert processor.clock_mhz(root(tmp_path, ORIN_NANO)) == 1728.0


def test_without_a_driver_of_the_clock_cpuinfo_tells_it(tmp_path: Path) -> None:
    cores = "".join(f"processor\t: {core}\ncpu MHz\t\t: {mhz}\n" for core, mhz in enumerate(("0.000", "2596.122")))

    assert processor.clock_mhz(root(tmp_path, {"proc/cpuinfo": cores})) == 2596.1


@pytest.mark.parametrize("content", ["0\n", "<unknown>\n", ""])
def test_a_clock_of_zero_or_of_no_number_is_unavailable(tmp_path: Path, content: str) -> None:
    file = "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"

    assert processor.clock_mhz(root(tmp_path, {file: content})) == "unavailable"


def test_governors_are_named_once_each(tmp_path: Path) -> None:
    folder = "sys/devices/system/cpu"
    files = {
        f"{folder}/cpu{core}/cpufreq/scaling_governor": f"{kind}\n"
        for core, kind in enumerate(("schedutil", "performance", "schedutil"))
    }

    assert processor.governor(root(tmp_path, files)) == "performance+schedutil"


def test_the_temperature_is_the_processor_s_and_not_the_fan_s_scale(tmp_path: Path) -> None:
    """The hottest of Tdie and Tccd1: the disk, the board and AMD's Tctl, 20 degrees above Tdie, are hotter."""
    assert processor.temperature_c(root(tmp_path, WORKSTATION)) == 46.2


def test_tctl_counts_where_there_is_no_tdie(tmp_path: Path) -> None:
    files = {name: content for name, content in WORKSTATION.items() if "temp2" not in name}

    assert processor.temperature_c(root(tmp_path, files)) == 64.5


@pytest.mark.parametrize(
    ("zone", "content", "reading"),
    [
        ("x86_pkg_temp", "48500\n", 48.5),
        ("cpu-thermal", "48500\n", 48.5),  # Orin, Raspberry Pi
        ("CPU-therm", "48500\n", 48.5),  # Xavier
        ("BCPU-therm", "48500\n", 48.5),  # TX2
        ("bigcore0-thermal", "48500\n", 48.5),  # RK3588
        ("GPU-therm", "48500\n", "unavailable"),
        ("PMIC-Die", "48500\n", "unavailable"),
        ("iwlwifi_1", "48500\n", "unavailable"),
        ("cpu-thermal", "0", "unavailable"),  # dead sensors
        ("cpu-thermal", "-256000", "unavailable"),
        ("cpu-thermal", "200000", "unavailable"),
    ],
)
def test_only_zones_of_the_processor_and_possible_temperatures_count(
    tmp_path: Path, zone: str, content: str, reading: object
) -> None:
    folder = "sys/class/thermal/thermal_zone0"
    assert (
        processor.temperature_c(root(tmp_path, {f"{folder}/type": f"{zone}\n", f"{folder}/temp": content})) == reading
    )


def test_x86_names_its_processor_and_a_board_itself(tmp_path: Path) -> None:
    assert processor.name(root(tmp_path / "x86", WORKSTATION)) == "AMD Ryzen 7 7700X 8-Core Processor"
    assert processor.name(root(tmp_path / "orin", ORIN_NANO)).endswith("Developer Kit Super")
