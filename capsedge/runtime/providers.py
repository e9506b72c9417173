"""Names of the execution providers."""

from typing import Literal

# `tensorrt-rtx` is ONNX Runtime's provider on top of TensorRT-RTX; an `.engine` file needs no ONNX Runtime.
Provider = Literal["cpu", "cuda", "tensorrt", "tensorrt-rtx"]

CPU = "CPUExecutionProvider"
ORT_NAMES: dict[Provider, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
}
"""Their names in ONNX Runtime."""
