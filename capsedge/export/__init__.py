"""Export of a trained run: collapse, ONNX, precision, gate, TensorRT, Triton.

Names are imported on first use, so that `capsedge lint` needs only TensorRT's extra and no torch.
(The function `collapse` is not exported here: a module has that name.)
"""

from typing import TYPE_CHECKING

from capsedge.lazy import looked_up

if TYPE_CHECKING:
    from capsedge.export.collapse import StaticCapsNet
    from capsedge.export.pipeline import Exported, RunExport, export_run, gate_model
    from capsedge.export.tensorrt import BuildOptions, build_engine, check_options, choose_package

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

__getattr__ = looked_up(
    __name__,
    {
        "BuildOptions": "tensorrt",
        "Exported": "pipeline",
        "RunExport": "pipeline",
        "StaticCapsNet": "collapse",
        "build_engine": "tensorrt",
        "check_options": "tensorrt",
        "choose_package": "tensorrt",
        "export_run": "pipeline",
        "gate_model": "pipeline",
    },
)
