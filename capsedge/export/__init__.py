"""The road from a trained run to files that can be trusted: collapse, ONNX, precision, gate, TensorRT, Triton."""

from capsedge.export.collapse import StaticCapsNet, collapse
from capsedge.export.road import Exported, RunExport, export_run, gate_model
from capsedge.export.tensorrt import BuildOptions, build_engine, check_options, choose_package

__all__ = [
    "BuildOptions",
    "Exported",
    "RunExport",
    "StaticCapsNet",
    "build_engine",
    "check_options",
    "choose_package",
    "collapse",
    "export_run",
    "gate_model",
]
