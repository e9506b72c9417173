"""Description of the machine of a measurement, so that results can be compared."""

from capsedge.measure.machine.here import conditions, gpu_energy_mj, this_machine
from capsedge.measure.machine.record import Conditions, Gpu, Machine, Reading, Unavailable

__all__ = ["Conditions", "Gpu", "Machine", "Reading", "Unavailable", "conditions", "gpu_energy_mj", "this_machine"]
