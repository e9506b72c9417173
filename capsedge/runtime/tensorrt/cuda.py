"""The CUDA runtime through cuda-python: its status codes become one-line errors.

Not run on a GPU yet: tests check cuda-python's real names, and its real results without a GPU.
"""

from typing import Any, NamedTuple

from capsedge.errors import ProviderError
from capsedge.runtime.loading import load

DRIVER_TOO_OLD = "driver-too-old"


class Device(NamedTuple):
    """A CUDA device, such as ("Orin", "sm87"): its name, and its compute capability in the form of engine targets."""

    name: str
    target: str


def load_cuda() -> Any:
    """Import the CUDA runtime.

    Raises:
        MissingExtra: cuda-python is not installed.
        ProviderError: It does not load.
    """
    return load("cuda.bindings.runtime", extra="trt")


def checked(answer: tuple[Any, ...]) -> Any:
    """Unpack the result of a cuda-python function: a status, followed by at most one value.

    Raises:
        ProviderError: The status is not success.
    """
    status, *values = answer
    if int(status) != 0:
        raise ProviderError(f"CUDA failed with {status.name}", "capsedge doctor shows what works here", code="cuda")
    return values[0] if values else None


def first_device(cuda: Any) -> Device:
    """Describe the device that CUDA uses by default.

    Raises:
        ProviderError: There is no device, or its driver is missing or too old.
    """
    status, count = cuda.cudaGetDeviceCount()
    if int(status) != 0 or not count:
        said = status.name if int(status) else "no device"
        raise ProviderError(
            f"an NVIDIA GPU with its driver is needed, and CUDA says '{said}'",
            "install the driver (nvidia-smi must work), or run the .onnx file with --provider cpu",
            code=DRIVER_TOO_OLD if said == "cudaErrorInsufficientDriver" else "no-gpu",
        )
    properties = checked(cuda.cudaGetDeviceProperties(0))
    return Device(properties.name.decode(), f"sm{properties.major}{properties.minor}")
