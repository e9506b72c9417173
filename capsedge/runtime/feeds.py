"""Random inputs of the right type and shape, so that any model can be timed."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

# Inputs or outputs of a model by name.
Arrays = dict[str, NDArray[Any]]

_SEED = 20260101


def random_array(shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
    """Draw a random array; the same arguments always give the same array.

    Args:
        shape: Shape of the array.
        dtype: Its type. uint8 values are 0 to 255, as pixels are; floats 0 to 1. Other integers are 0 or 1, because
            they may be indices into a small table.
    """
    generator = np.random.default_rng(_SEED)
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return generator.random(shape).astype(kind)
    return generator.integers(0, 256 if kind == np.uint8 else 2, shape).astype(kind)
