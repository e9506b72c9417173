"""A stand-in for pynvml whose functions have the real ones' names and parameters; test_nvml.py compares them."""

# ruff: noqa: N802, N803 - the names are NVIDIA's

from types import ModuleType
from typing import Any, NamedTuple

import pynvml


class Memory(NamedTuple):
    """The one field that is read of c_nvmlMemory_t."""

    total: int


class FakeNvml(ModuleType):
    """Two GPUs; each function that `refused` names raises what the real one does where it is not supported."""

    NVMLError = pynvml.NVMLError

    def __init__(self, refused: set[str] | None = None, reasons: int = 0) -> None:
        super().__init__("pynvml")
        self.refused = refused or set()
        self.reasons = reasons
        self.asked: list[str] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in super().__getattribute__("refused"):
            super().__getattribute__("asked").append(name)
            return _refuse
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        """The real module's constants."""
        if not isinstance(value := getattr(pynvml, name), int):
            raise AttributeError(name)  # noqa: TRY004 - a function that the stand-in lacks
        return value

    def nvmlInit(self) -> None:
        self.asked.append("nvmlInit")

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if not 0 <= index < 2:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return f"GPU {index}"

    def nvmlDeviceGetHandleByPciBusId(self, pciBusId: str) -> str:
        places = {"0000:01:00.0": "GPU 0", "0000:41:00.0": "GPU 1"}
        if pciBusId not in places:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return places[pciBusId]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        return {"GPU 0": "GPU-aaaa-1", "GPU 1": "GPU-bbbb-2"}[handle]

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"NVIDIA {handle}"

    def nvmlDeviceGetCudaComputeCapability(self, handle: str) -> tuple[int, int]:
        return (12, 0)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13010  # 1000 times the major and 10 times the minor release

    def nvmlDeviceGetMemoryInfo(self, handle: str, version: int | None = None) -> Memory:
        return Memory(12282 * 2**20)

    def nvmlDeviceGetClockInfo(self, handle: str, type: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 2475, pynvml.NVML_CLOCK_MEM: 10501}[type]

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return 63

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 187_340  # milliwatts

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return 987_654_321  # millijoules

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self.reasons

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
        return self.reasons


def _refuse(*_: Any, **__: Any) -> None:
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
