"""The road from a trained run to files that can be trusted: collapse, ONNX, precision, gate, TensorRT, Triton.

Names are looked up when they are first used, so that `capsedge lint` needs TensorRT's extra alone and no torch.
(`collapse` is not among them: a module has that name.)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capsedge.export.collapse import StaticCapsNet
    from capsedge.export.road import Exported, RunExport, export_run, gate_model
    from capsedge.export.tensorrt import BuildOptions, build_engine, check_options, choose_package

_HOMES = {
    "BuildOptions": "tensorrt",
    "Exported": "road",
    "RunExport": "road",
    "StaticCapsNet": "collapse",
    "build_engine": "tensorrt",
    "check_options": "tensorrt",
    "choose_package": "tensorrt",
    "export_run": "road",
    "gate_model": "road",
}

__all__ = [
    "BuildOptions",
    "Exported",
    "RunExport",
    "StaticCapsNet",
    "build_engine",
    "check_options",
    "choose_package",
    "export_run",
    "gate_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
