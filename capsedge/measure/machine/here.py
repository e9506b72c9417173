"""This machine and its current state."""

import platform
from contextlib import suppress
from importlib import metadata
from typing import Any

from msgspec import structs

from capsedge.cores import usable_cores
from capsedge.measure.machine import jetson, processor
from capsedge.measure.machine.nvml import nvml
from capsedge.measure.machine.record import Conditions, Gpu, Machine, Reading
from capsedge.processor import this_processor
from capsedge.runtime.ort.wheels import installed_wheels

# Libraries that affect latency in addition to ONNX Runtime.
_LIBRARIES = ("numpy", "openvino", "tensorrt", "tensorrt-rtx", "cuda-python")


def this_machine() -> Machine:
    """Describe the machine."""
    return Machine(
        cpu=processor.name(),
        processor=this_processor(),
        cores=usable_cores(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        onnxruntime=installed_wheels(),
        versions=_versions(),
        gpu=gpu(),
        board=jetson.board(),
    )


def gpu() -> Gpu | None:
    """Describe the GPU that CUDA uses; None without a GPU."""
    library = nvml()
    return jetson.gpu() if library is None else library.gpu()


def conditions() -> Conditions:
    """Read the current state of the machine."""
    host = Conditions(
        load_average=processor.load_average(),
        cpu_mhz=processor.clock_mhz(),
        cpu_temperature_c=processor.temperature_c(),
        governor=processor.governor(),
    )
    return structs.replace(host, **(_of_nvml() | _of_jetson()))


def gpu_energy_mj() -> Reading:
    """Energy that the GPU has used since its driver was loaded, in millijoules: an increasing counter."""
    library = nvml()
    return "unavailable" if library is None else library.energy_mj()


def _of_nvml() -> dict[str, Any]:
    """Readings of the GPU by NVML."""
    library = nvml()
    if library is None:
        return {}
    return {
        "gpu_mhz": library.clock_mhz(),
        "gpu_memory_mhz": library.memory_clock_mhz(),
        "gpu_temperature_c": library.temperature_c(),
        "gpu_power_w": library.power_w(),
        "gpu_throttling": library.throttling(),
    }


def _of_jetson() -> dict[str, Any]:
    """Readings of a Jetson's GPU by its kernel; they replace those of NVML, which refuses most of them there."""
    if not jetson.is_jetson():
        return {}
    readings = {
        "gpu_mhz": jetson.clock_mhz(),
        "gpu_temperature_c": jetson.temperature_c(),
        "gpu_power_w": jetson.gpu_power_w(),
        "board_power_w": jetson.board_power_w(),
    }
    return {name: reading for name, reading in readings.items() if reading != "unavailable"}


def _versions() -> dict[str, str]:
    found = {}
    for library in _LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            found[library] = metadata.version(library)
    return found
