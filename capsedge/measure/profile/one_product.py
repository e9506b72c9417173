"""An ONNX file with one matrix product: the roof of computing is honest only if the same runtime computes it."""

from pathlib import Path

import numpy as np

from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.tiny_onnx import FLOAT, FLOAT16, INT32, UINT8, Value, one_node_file

INPUT = "a"

# The types that a product is timed in: its operator, the types of both sides, and that of the result.
_PRODUCTS = {
    "fp32": ("MatMul", FLOAT, np.float32, FLOAT),
    "fp16": ("MatMul", FLOAT16, np.float16, FLOAT16),
    "int8": ("MatMulInteger", UINT8, np.int8, INT32),
}
_NUMPY = {FLOAT: np.float32, UINT8: np.uint8, FLOAT16: np.float16}
KINDS = tuple(_PRODUCTS)


def write_product(path: Path, kind: str, side: int) -> Arrays:
    """Write a file that multiplies a square matrix by a constant one, and give what it takes.

    Args:
        path: The file.
        kind: One of `KINDS`.
        side: Rows and columns of both.
    """
    op, left, right, made = _PRODUCTS[kind]
    shape = (side, side)
    weight = random_array(shape, right)
    takes, makes = Value(INPUT, left, shape), Value("c", made, shape)
    path.write_bytes(one_node_file(op, "product", (INPUT, "b"), takes=takes, makes=makes, weight=("b", weight)))
    return {INPUT: random_array(shape, _NUMPY[left])}
