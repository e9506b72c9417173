"""capsedge: capsule networks whose routing is learned, collapsed into static weights, and run at the edge.

The names below are the public interface (docs/python.md). Each is loaded on first use, so that importing the package
is fast and loading a model needs neither torch nor onnx.
"""

import os
from typing import TYPE_CHECKING

from capsedge.lazy import looked_up
from capsedge.version import __version__

# ONNX Runtime's wheels of 2026 record the device's id and usage in the home folder for sending, unless this variable
# is set before their first import (docs/decisions/0019-no-telemetry.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from capsedge.errors import CapsedgeError
    from capsedge.export.pipeline import Exported, export_run
    from capsedge.measure.bench.benchmark import bench
    from capsedge.measure.bench.plan import Plan
    from capsedge.measure.bench.report import BenchReport
    from capsedge.runtime.infer.classify import Broken, Guess, Prediction
    from capsedge.runtime.model import Model, load
    from capsedge.runtime.settings import Settings
    from capsedge.runtime.verify import Verification
    from capsedge.training.run import Run
    from capsedge.training.start import train

__all__ = [
    "BenchReport",
    "Broken",
    "CapsedgeError",
    "Exported",
    "Guess",
    "Model",
    "Plan",
    "Prediction",
    "Run",
    "Settings",
    "Verification",
    "__version__",
    "bench",
    "export_run",
    "load",
    "train",
]

__getattr__ = looked_up(
    __name__,
    {
        "BenchReport": "measure.bench.report",
        "Broken": "runtime.infer.classify",
        "CapsedgeError": "errors",
        "Exported": "export.pipeline",
        "Guess": "runtime.infer.classify",
        "Model": "runtime.model",
        "Plan": "measure.bench.plan",
        "Prediction": "runtime.infer.classify",
        "Run": "training.run",
        "Settings": "runtime.settings",
        "Verification": "runtime.verify",
        "bench": "measure.bench.benchmark",
        "export_run": "export.pipeline",
        "load": "runtime.model",
        "train": "training.start",
    },
)


def __dir__() -> list[str]:
    return sorted(__all__)
