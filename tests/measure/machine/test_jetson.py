"""A Jetson as its kernel's files tell it."""

from pathlib import Path

import pytest

from capsedge.measure.machine import jetson
from capsedge.measure.machine.nvml import driver_may_be_here
from tests.measure.machine.roots import ORIN_NANO, WORKSTATION, root


def test_the_board_names_its_release_and_its_power_mode(tmp_path: Path) -> None:
    assert jetson.board(root(tmp_path, ORIN_NANO)) == "JetPack 6.2 (L4T 36.4.3), mode MAXN_SUPER"


def test_a_workstation_is_no_jetson(tmp_path: Path) -> None:
    pc = root(tmp_path, WORKSTATION)

    assert not jetson.is_jetson(pc)
    assert jetson.board(pc) is None
    assert jetson.gpu(pc) is None


@pytest.mark.parametrize(
    ("release", "revision", "said"),
    [
        ("36", "4.3", "JetPack 6.2 (L4T 36.4.3)"),
        ("36", "4.7", "L4T 36.4.7"),  # a release that the table lacks is not guessed
        ("38", "4.0", "JetPack 7.1 (L4T 38.4.0)"),
        ("35", "4.1", "JetPack 5.1.2 (L4T 35.4.1)"),
        ("32", "6.1", "JetPack 4.6 (L4T 32.6.1)"),
        ("36", "3", "JetPack 6.0 (L4T 36.3)"),
    ],
)
def test_without_its_package_jetpack_is_known_by_jetson_linux(
    tmp_path: Path, release: str, revision: str, said: str
) -> None:
    line = f"# R{release} (release), REVISION: {revision}, GCID: 1, BOARD: generic, EABI: aarch64\n"

    assert jetson.release_of(root(tmp_path, {"etc/nv_tegra_release": line})) == said


def test_a_package_that_was_removed_does_not_count(tmp_path: Path) -> None:
    status = "Package: nvidia-jetpack\nStatus: deinstall ok config-files\nVersion: 5.1.1-b56\n"

    assert jetson.release_of(root(tmp_path, {"var/lib/dpkg/status": status})) == ""


def test_the_gpu_is_known_by_the_chip_and_has_no_memory_of_its_own(tmp_path: Path) -> None:
    gpu = jetson.gpu(root(tmp_path, ORIN_NANO))

    assert gpu is not None
    assert (gpu.name, gpu.target, gpu.memory_mb) == ("Orin", "sm87", "unavailable")


def test_clock_temperature_and_power_are_those_of_the_gpu(tmp_path: Path) -> None:
    board = root(tmp_path, ORIN_NANO)

    assert jetson.clock_mhz(board) == 1020.0  # not the memory controller's 3199
    assert jetson.temperature_c(board) == 49.3
    assert jetson.board_power_w(board) == 6.3  # 5.040 V times 1.250 A
    assert jetson.gpu_power_w(board) == "unavailable"  # its rail feeds the processor too


def test_an_agx_orin_has_a_rail_of_the_gpu(tmp_path: Path) -> None:
    chip = "sys/class/hwmon/hwmon4"
    files = {"name": "ina3221", "in1_label": "VDD_GPU_SOC", "in1_input": "19000", "curr1_input": "2100"}
    board = root(tmp_path, {f"{chip}/{name}": f"{content}\n" for name, content in files.items()})

    assert jetson.gpu_power_w(board) == 39.9


def test_a_board_that_tells_nothing_gives_no_zero(tmp_path: Path) -> None:
    told = {jetson.clock_mhz(tmp_path), jetson.temperature_c(tmp_path), jetson.board_power_w(tmp_path)}

    assert told == {"unavailable"}


def test_the_driver_is_looked_for_by_its_files(tmp_path: Path) -> None:
    assert driver_may_be_here(root(tmp_path / "orin", ORIN_NANO))
    assert driver_may_be_here(root(tmp_path / "pc", WORKSTATION))
    assert not driver_may_be_here(tmp_path / "empty")
