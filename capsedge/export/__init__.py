"""The road from a trained run to a file that can be trusted: collapse, ONNX, gate, TensorRT."""

from capsedge.export.collapse import StaticCapsNet, collapse
from capsedge.export.road import Exported, export_run, gate_model
from capsedge.export.tensorrt import build_engine, check_options, choose_package

__all__ = [
    "Exported",
    "StaticCapsNet",
    "build_engine",
    "check_options",
    "choose_package",
    "collapse",
    "export_run",
    "gate_model",
]
