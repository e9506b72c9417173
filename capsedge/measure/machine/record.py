"""The records of a machine: its fixed properties, and its state at one moment."""

from typing import Literal

import msgspec

from capsedge.processor import Processor

Unavailable = Literal["unavailable"]
Reading = float | Unavailable
"""A reading; a machine that cannot give it has "unavailable", never 0."""


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """The NVIDIA GPU that CUDA uses, described by its management library (NVML) or a Jetson's kernel.

    Attributes:
        name: Its name.
        target: Compute capability in the form of engine targets, such as `sm87`.
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
    """The state of the machine at one moment; readings that it cannot give are "unavailable".

    Attributes:
        load_average: Average number of running processes over the last minute.
        cpu_mhz: Clock of the fastest core.
        cpu_temperature_c: Highest temperature of the processor's sensors, in degrees Celsius.
        governor: The cpufreq governor, such as `performance`; several joined by `+`.
        gpu_mhz: Clock of the GPU's multiprocessors.
        gpu_memory_mhz: Clock of the GPU's memory.
        gpu_temperature_c: Temperature of the GPU, in degrees Celsius.
        gpu_power_w: Power draw of the GPU, in watts.
        gpu_throttling: Reasons for which the GPU is throttled; empty where it is not.
        board_power_w: Power draw of a whole Jetson module, in watts.
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
    """The fixed properties of a machine that affect latency; its load is in `Conditions`.

    Attributes:
        cpu: Model of the processor, or of the board on boards that name only that.
        processor: Its instruction sets, and those that it uses for fp32, int8 and bf16; None where not known.
        cores: Logical cores that this process may use, limited by the CPU quota of its container.
        system: Operating system and architecture.
        python: Version of Python.
        onnxruntime: Version of each installed wheel of ONNX Runtime by name.
        versions: Versions of other installed libraries that affect latency: numpy, TensorRT.
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
