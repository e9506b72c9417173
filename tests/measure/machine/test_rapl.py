"""The energy counters of a processor, in folders that stand in for Linux's own: no machine here shows real ones."""

from pathlib import Path

import pytest

from capsedge.measure.machine.rapl import EnergyCounter, cpu_energy, energy_between_mj
from tests.measure.machine.roots import root

MOST = 262_143_328_850

# A stand-in for a server with two processors, in the form of Linux's powercap documentation.
STAND_IN = {
    f"sys/class/powercap/{folder}/{name}": f"{content}\n"
    for folder, zone, energy in (
        ("intel-rapl:0", "package-0", 5_000_000),
        ("intel-rapl:0:0", "core", 4_000_000),
        ("intel-rapl:0:1", "dram", 700_000),
        ("intel-rapl:1", "package-1", 262_143_000_000),
        ("intel-rapl:2", "psys", 90_000_000),
        ("intel-rapl-mmio:0", "package-0", 5_000_100),
    )
    for name, content in (("name", zone), ("energy_uj", energy), ("max_energy_range_uj", MOST))
}


def test_the_counters_are_those_of_the_packages_each_once(tmp_path: Path) -> None:
    assert cpu_energy(root(tmp_path, STAND_IN)) == (
        EnergyCounter("intel-rapl:0", 5_000_000, MOST),
        EnergyCounter("intel-rapl:1", 262_143_000_000, MOST),
    )


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    before = cpu_energy(root(tmp_path, STAND_IN))
    later = {
        "sys/class/powercap/intel-rapl:0/energy_uj": "6500000\n",
        "sys/class/powercap/intel-rapl:1/energy_uj": "2\n",
    }
    after = cpu_energy(root(tmp_path, later))

    microjoules = 1_500_000 + (MOST - 262_143_000_000) + 2
    assert energy_between_mj(before, after) == microjoules / 1000


@pytest.mark.parametrize("content", ["", "<unknown>\n", None])
def test_one_counter_that_cannot_be_read_makes_all_unavailable(tmp_path: Path, content: str | None) -> None:
    """Only root may read them since Linux 5.10; a folder in the file's place refuses to be read by root too."""
    folder = root(tmp_path, STAND_IN)
    file = folder / "sys/class/powercap/intel-rapl:1/energy_uj"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_text(content)

    assert cpu_energy(folder) == ()
    assert energy_between_mj((), ()) == "unavailable"


def test_a_machine_without_counters_gives_no_zero(tmp_path: Path) -> None:
    assert cpu_energy(tmp_path) == ()


def test_a_counter_that_stands_still_gives_no_zero(tmp_path: Path) -> None:
    still = cpu_energy(root(tmp_path, STAND_IN))

    assert energy_between_mj(still, still) == "unavailable"
    assert energy_between_mj(still, still[:1]) == "unavailable"
