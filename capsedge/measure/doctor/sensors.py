"""The finding about sensors: which readings of a measurement this machine provides."""

from msgspec import structs

from capsedge.measure.doctor.findings import Finding
from capsedge.measure.machine import Conditions

_NAMES = {
    "load_average": "load",
    "cpu_mhz": "CPU clock",
    "cpu_temperature_c": "CPU temperature",
    "governor": "governor",
    "gpu_mhz": "GPU clock",
    "gpu_memory_mhz": "GPU memory clock",
    "gpu_temperature_c": "GPU temperature",
    "gpu_power_w": "GPU power",
    "gpu_throttling": "GPU throttling",
    "board_power_w": "power of the module",
}


def find_sensors(now: Conditions, *, gpu: bool, jetson: bool) -> Finding:
    """List the readings that bench records here, and those that are unavailable.

    Args:
        now: The readings.
        gpu: Whether there is a GPU; without one its readings are not listed.
        jetson: Whether this is a Jetson; elsewhere the power of the module is not listed.
    """
    readings = {
        field: reading for field, reading in structs.asdict(now).items() if _asked(field, gpu=gpu, jetson=jetson)
    }
    read = [_NAMES[field] for field, reading in readings.items() if reading != "unavailable"]
    lacking = [_NAMES[field] for field, reading in readings.items() if reading == "unavailable"]
    unread = f"unavailable: {', '.join(lacking)}" if lacking else ""
    if not read:
        return Finding("Sensors", "missing", unread, code="no-readings")
    return Finding("Sensors", "works", "; ".join(filter(None, (", ".join(read), unread))))


def _asked(field: str, *, gpu: bool, jetson: bool) -> bool:
    return jetson if field == "board_power_w" else gpu or not field.startswith("gpu_")
