"""Names of the execution providers, and of OpenVINO, which runs ONNX files beside ONNX Runtime."""

from typing import Literal

# `openvino` is the package OpenVINO itself, without ONNX Runtime. `tensorrt-rtx` is ONNX Runtime's provider on top of
# TensorRT-RTX; an `.engine` file needs no ONNX Runtime.
OrtProvider = Literal["cpu", "cuda", "tensorrt", "tensorrt-rtx"]
Provider = Literal[OrtProvider, "openvino"]

CPU = "CPUExecutionProvider"
ORT_NAMES: dict[OrtProvider, str] = {
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "tensorrt-rtx": "NvTensorRTRTXExecutionProvider",
}
"""Their names in ONNX Runtime."""
