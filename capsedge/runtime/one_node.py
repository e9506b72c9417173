"""A model of one node, which shows whether a runtime and a provider work at all."""

import tempfile
from pathlib import Path

import numpy as np

from capsedge.errors import ModelError
from capsedge.onnx_lite.schema import FLOAT
from capsedge.onnx_lite.write import Value, one_node_file
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.options import kernels_in
from capsedge.runtime.settings import Settings


def run_one_node(settings: Settings) -> None:
    """Open an ONNX file that squares four float32 numbers, run it, and check the squares.

    Raises:
        CapsedgeError: The provider is missing, does not start, or computes something else.
    """
    x = np.array([0, 1, 3, -0.5], np.float32)  # every type of float holds their squares exactly
    with tempfile.TemporaryDirectory(prefix="capsedge-", ignore_cleanup_errors=True) as folder:
        file = Path(folder, "one-node.onnx")
        file.write_bytes(_one_node())
        with kernels_in(Path(folder)), open_session(file, settings) as session:
            (y,) = session.run_raw({"x": x}).values()
    if not np.array_equal(y, x * x):
        raise ModelError(f"a node that squares {x.tolist()} gives {y.tolist()}")


def _one_node() -> bytes:
    """An ONNX file that squares four float32 numbers, `x` to `y`."""
    return one_node_file("Mul", "square", ("x", "x"), takes=Value("x", FLOAT, (4,)), makes=Value("y", FLOAT, (4,)))
