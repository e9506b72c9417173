"""The records of a machine: what does not change, and its state at one moment."""

from typing import Literal

import msgspec

from capsedge.processor import Processor

Unavailable = Literal["unavailable"]
Reading = float | Unavailable
"""A figure that not every machine can tell: one that cannot says so, never zero."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The NVIDIA GPU that CUDA uses, as its management library (NVML) or a Jetson's kernel tells it.

    Attributes:
        name: Its name.
        target: Compute capability as engines name it, such as `sm87`.
        driver: Version of the driver.
        cuda: Newest CUDA that the driver supports, such as `13.0`.
        memory_mb: Its memory in MiB.
    """

    name: str
    target: str
    driver: str
    cuda: str
    memory_mb: Reading


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the machine at one moment; what it cannot tell is "unavailable".

    Attributes:
        load_average: Average of running processes over the last minute.
        cpu_mhz: Clock of the fastest core.
        cpu_temperature_c: Hottest sensor of the processor, in degrees Celsius.
        governor: The kernel's policy for the clock, such as `performance`; several joined by `+`.
        gpu_mhz: Clock of the GPU's multiprocessors.
        gpu_memory_mhz: Clock of its memory.
        gpu_temperature_c: Of the GPU.
        gpu_power_w: Power that it draws, in watts.
        gpu_throttling: Reasons for which the GPU slows itself down at the moment; none is an empty list.
        board_power_w: Power that a whole Jetson module draws, in watts.
    """

    load_average: Reading = "unavailable"
    cpu_mhz: Reading = "unavailable"
    cpu_temperature_c: Reading = "unavailable"
    governor: str = "unavailable"
    gpu_mhz: Reading = "unavailable"
    gpu_memory_mhz: Reading = "unavailable"
    gpu_temperature_c: Reading = "unavailable"
    gpu_power_w: Reading = "unavailable"
    gpu_throttling: tuple[str, ...] | Unavailable = "unavailable"
    board_power_w: Reading = "unavailable"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a latency depends on beside the model, and what does not change: its load is among the `Conditions`.

    Attributes:
        cpu: Model of the processor, or of the board where that names it.
        processor: Its instruction sets, and what they mean for fp32, int8 and bf16; None where they are not known.
        cores: Logical cores that this process may use, and no more than its container has time for.
        system: Operating system and architecture.
        python: Version of Python.
        onnxruntime: Name and version of each installed wheel of ONNX Runtime.
        versions: Versions of other libraries that a latency depends on, where they are installed: numpy, TensorRT.
        gpu: The GPU, or None.
        board: Release of a Jetson's software and its power mode, such as `JetPack 6.2 (L4T 36.4.3), mode 15W`; None
            elsewhere.
    """

    cpu: str
    processor: Processor | None = None
    cores: int
    system: str
    python: str
    onnxruntime: dict[str, str]
    versions: dict[str, str] = {}
    gpu: Gpu | None = None
    board: str | None = None
