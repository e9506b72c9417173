"""The typed graphs of a network: precision is made in the ONNX graph, which every runtime then reads as it is."""

from capsedge.export.precision.emulate import emulated, emulated_types
from capsedge.export.precision.quantize import (
    CALIBRATION_IMAGES,
    METHODS,
    calibration_images,
    check_calibration,
)
from capsedge.export.precision.typed import Typed, TypedGraphs

__all__ = [
    "CALIBRATION_IMAGES",
    "METHODS",
    "Typed",
    "TypedGraphs",
    "calibration_images",
    "check_calibration",
    "emulated",
    "emulated_types",
]
