"""Description of the machine of a measurement, so that results can be compared."""

from capsedge.measure.machine.here import conditions, gpu_energy_mj, this_machine
from capsedge.measure.machine.rapl import EnergyCounter, cpu_energy, energy_between_mj
from capsedge.measure.machine.record import Conditions, Gpu, Machine, Reading, Unavailable

__all__ = [
    "Conditions",
    "EnergyCounter",
    "Gpu",
    "Machine",
    "Reading",
    "Unavailable",
    "conditions",
    "cpu_energy",
    "energy_between_mj",
    "gpu_energy_mj",
    "this_machine",
]
