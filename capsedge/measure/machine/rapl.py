"""Energy of the processor from its RAPL counters, which Linux shows as powercap zones.

A zone `package-N` counts the energy of one processor with its cores, caches and integrated graphics, without the
memory modules. Both Intel's and AMD's processors have the zones under the name `intel-rapl` (Linux's
Documentation/power/powercap/powercap.rst); virtual machines mostly have none. Since Linux 5.10 only root may read the
counters, because they leak what other processes compute (CVE-2020-8694).
"""

from pathlib import Path
from typing import NamedTuple

from capsedge.measure.machine.kernel import ROOT, number, text
from capsedge.measure.machine.record import Reading


class EnergyCounter(NamedTuple):
    """The counter of one processor.

    Attributes:
        zone: Name of its folder.
        uj: Its value in microjoules.
        most_uj: Its largest value; it starts again from 0 after it.
    """

    zone: str
    uj: float
    most_uj: float


def cpu_energy(root: Path = ROOT) -> tuple[EnergyCounter, ...]:
    """Read the counter of every processor; empty where one is missing or unreadable, as a partial sum misleads."""
    zones = [
        zone for zone in root.glob("sys/class/powercap/intel-rapl:*") if text(zone / "name").startswith("package")
    ]
    found = []
    for zone in sorted(zones):
        uj, most_uj = number(zone / "energy_uj"), number(zone / "max_energy_range_uj")
        if uj is None or not most_uj:
            return ()
        found.append(EnergyCounter(zone.name, uj, most_uj))
    return tuple(found)


def energy_between_mj(before: tuple[EnergyCounter, ...], after: tuple[EnergyCounter, ...]) -> Reading:
    """Energy between two readings in millijoules; a counter that is lower than before has started again once.

    Returns:
        "unavailable" where there are no counters, other counters than before, or none has moved.
    """
    if not before or [each.zone for each in before] != [each.zone for each in after]:
        return "unavailable"
    moved = sum(
        now.uj - then.uj + (now.most_uj if now.uj < then.uj else 0) for then, now in zip(before, after, strict=True)
    )
    return moved / 1000 if moved > 0 else "unavailable"
