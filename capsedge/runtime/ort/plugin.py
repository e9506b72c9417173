"""TensorRT-RTX for ONNX Runtime, which NVIDIA ships as a plugin in a separate wheel that an application registers.

State of the package index and NVIDIA's documentation (nvidia.github.io/TensorRT-RTX-EP-ABI) in November 2026:
`onnxruntime-ep-nv-tensorrt-rtx` 0.5.0, an alpha, for CUDA 13 (`-cu12` for CUDA 12), has wheels for Linux on x86-64
and for Windows, none for a Jetson, and needs onnxruntime 1.24 or later. It includes TensorRT-RTX. The older
`onnxruntime-trt-rtx` 1.23.2 (Windows only) has the provider built in.

Not run on a GPU yet. Without one, ONNX Runtime 1.31.1 reports for the real plugin that libcuda.so.1 is missing.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from capsedge.errors import ProviderError

MODULE = "onnxruntime_ep_nv_tensorrt_rtx"
INSTALL = (
    "pip install onnxruntime-ep-nv-tensorrt-rtx (for Linux on x86-64 and for Windows; it needs ONNX Runtime 1.24 or "
    "later)"
)


GPU_NOT_SUPPORTED = "gpu-not-supported"


def is_installed() -> bool:
    """Whether the plugin's wheel is installed; nothing is loaded."""
    return find_spec(MODULE) is not None


def devices_of_plugin(ort: Any) -> list[Any]:
    """Register the plugin with ONNX Runtime, once per process, and list the GPUs that it can use.

    Args:
        ort: The module onnxruntime.

    Returns:
        Its `OrtEpDevice`s, at least one.

    Raises:
        ProviderError: The plugin is not installed, does not load, or finds no GPU.
    """
    try:
        plugin = import_module(MODULE)
    except ModuleNotFoundError as error:
        raise ProviderError("'tensorrt-rtx' needs NVIDIA's plugin for ONNX Runtime", INSTALL) from error
    if not hasattr(ort, "register_execution_provider_library"):
        raise ProviderError(
            f"'tensorrt-rtx' is a plugin, and ONNX Runtime {ort.__version__} does not support plugins", INSTALL
        )
    try:
        ort.register_execution_provider_library(plugin.get_ep_name(), plugin.get_library_path())
    except Exception as error:  # ONNX Runtime's errors have no common class
        if "already registered" not in str(error):
            raise ProviderError(
                f"'tensorrt-rtx' was asked for, but its plugin does not load ({_last_clause(error)})",
                "it needs an NVIDIA GPU with its driver, and onnxruntime 1.24 or later",
            ) from error
    devices = [device for device in ort.get_ep_devices() if device.ep_name == plugin.get_ep_name()]
    if not devices:
        raise ProviderError(
            "'tensorrt-rtx' was asked for, but its plugin finds no GPU that it supports",
            "it needs an NVIDIA RTX GPU of compute capability 8.6, 8.9, or 12.0 and later",
            code=GPU_NOT_SUPPORTED,
        )
    return devices


def _last_clause(error: Exception) -> str:
    """The message of an error without ONNX Runtime's codes and the path of the library."""
    return " ".join(str(error).rsplit(" : ", 1)[-1].rsplit("with error: ", 1)[-1].split())[:300]
