"""capsedge: capsule networks whose routing is learned, collapsed into static weights, and run at the edge."""

import os

# ONNX Runtime's wheels of 2026 keep the device's id and its uses in the home folder, to be sent, unless they are told
# not to before their first import (docs/decisions/0019-no-telemetry.md).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"
__all__ = ["__version__"]
