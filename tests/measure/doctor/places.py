"""Presences that tests share."""

from capsedge.measure.doctor.presence import Presence
from capsedge.measure.machine import Gpu

NOTHING = Presence("machine", hardware=False, driver="", reachable=False)
WORKSTATION = Presence("machine", hardware=True, driver="580.65.06", reachable=True)
JETSON = Presence("jetson", hardware=True, driver="", reachable=True)
CONTAINER = Presence("container", hardware=True, driver="535.183.01", reachable=True)
WSL = Presence("wsl", hardware=True, driver="", reachable=True)
GIVEN_NONE = Presence("container", hardware=True, driver="580.65.06", reachable=False)


def gpu(driver: str = "580.65.06", cuda: str = "13.0") -> Gpu:
    """What NVML tells of a GPU."""
    return Gpu(name="NVIDIA GeForce RTX 4070", target="sm89", driver=driver, cuda=cuda, memory_mb=12282)
