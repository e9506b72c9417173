"""The smallest model that proves a provider: one node, x * x."""

import numpy as np

from capsedge.errors import ModelError
from capsedge.onnx_lite.schema import FLOAT
from capsedge.onnx_lite.write import Value, one_node_file
from capsedge.runtime.session import Session


def one_node() -> bytes:
    """An ONNX file that squares four float32 numbers, `x` to `y`."""
    return one_node_file("Mul", "square", ("x", "x"), takes=Value("x", FLOAT, (4,)), makes=Value("y", FLOAT, (4,)))


def prove(session: Session) -> None:
    """Run the model.

    Raises:
        ModelError: It failed, or its answer is wrong.
    """
    x = np.array([0, 1, 3, -0.5], np.float32)  # whose squares every type of float holds exactly
    (y,) = session.run_raw({"x": x}).values()
    if not np.array_equal(y, x * x):
        raise ModelError(f"a node that squares {x.tolist()} gives {y.tolist()}")
