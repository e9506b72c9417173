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
    ("zone", "counts"),
    [
        ("x86_pkg_temp", True),
        ("cpu-thermal", True),  # Orin, Raspberry Pi
        ("CPU-therm", True),  # Xavier
        ("BCPU-therm", True),  # TX2
        ("bigcore0-thermal", True),  # RK3588
        ("GPU-therm", False),
        ("PMIC-Die", False),
        ("iwlwifi_1", False),
    ],
)
def test_zones_of_other_parts_do_not_count(tmp_path: Path, zone: str, counts: bool) -> None:
    folder = "sys/class/thermal/thermal_zone0"
    files = {f"{folder}/type": f"{zone}\n", f"{folder}/temp": "48500\n"}

    assert processor.temperature_c(root(tmp_path, files)) == (48.5 if counts else "unavailable")


@pytest.mark.parametrize("content", ["0", "-256000", "200000"])
def test_what_a_dead_sensor_shows_is_no_temperature(tmp_path: Path, content: str) -> None:
    folder = "sys/class/thermal/thermal_zone0"
    files = {f"{folder}/type": "cpu-thermal\n", f"{folder}/temp": content}

    assert processor.temperature_c(root(tmp_path, files)) == "unavailable"


def test_x86_names_its_processor_and_a_board_itself(tmp_path: Path) -> None:
    assert processor.name(root(tmp_path / "x86", WORKSTATION)) == "AMD Ryzen 7 7700X 8-Core Processor"
    assert processor.name(root(tmp_path / "orin", ORIN_NANO)).endswith("Developer Kit Super")
