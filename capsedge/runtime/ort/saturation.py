"""Whether ONNX Runtime's int8 sums saturate on this processor, tested by computing the largest possible ones.

Processors with VNNI, and Arm processors, add int8 products in 32 bits, others in pairs in 16 bits. For the latter,
ONNX Runtime also has exact kernels, which take longer; `session.x64quantprecision` selects them.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from capsedge.runtime.int8_pairs import int8_pairs

# Large enough for the kernels that compute whole blocks.
_ROWS, _PRODUCTS, _COLUMNS = 8, 16, 16


def may_saturate_here(ort: Any, file: Path) -> bool:
    """Whether a file has int8 products that this processor may compute wrongly without exact kernels.

    Args:
        ort: The module onnxruntime.
        file: An ONNX file. Its contract is not used: other tools copy it into files that they change.

    Raises:
        ModelError: The file is missing or damaged.
    """
    pairs = int8_pairs(file)
    return pairs is not None and not pairs.fit and int8_saturates(ort)


@cache
def int8_saturates(ort: Any) -> bool:
    """Whether ONNX Runtime's int8 kernels saturate on this processor, tested by a sum of the largest products.

    Args:
        ort: The module onnxruntime.
    """
    from capsedge.onnx_lite.schema import INT32, UINT8
    from capsedge.onnx_lite.write import Value, one_node_file  # few files need it

    activations = np.full((_ROWS, _PRODUCTS), 255, np.uint8)
    weights = np.full((_PRODUCTS, _COLUMNS), 127, np.int8)
    content = one_node_file(
        "MatMulInteger",
        "largest",
        ("a", "w"),
        takes=Value("a", UINT8, activations.shape),
        makes=Value("y", INT32, (_ROWS, _COLUMNS)),
        weight=("w", weights),
    )
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    (sums,) = session.run(None, {"a": activations})
    return bool((sums != 255 * 127 * _PRODUCTS).any())
