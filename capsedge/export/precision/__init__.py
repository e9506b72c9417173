"""Typed graphs of a network: the precision is set in the ONNX graph, and every runtime computes it as written."""

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
