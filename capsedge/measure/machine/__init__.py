"""The machine that a measurement was taken on, so that a number can be compared with the right other numbers."""

from capsedge.measure.machine.here import conditions, gpu_energy_mj, this_machine
from capsedge.measure.machine.record import Conditions, Gpu, Machine, Reading, Unavailable

__all__ = ["Conditions", "Gpu", "Machine", "Reading", "Unavailable", "conditions", "gpu_energy_mj", "this_machine"]
