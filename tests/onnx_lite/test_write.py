"""The encoder of one node, against what onnx's own helper makes."""

import numpy as np
import onnx
import pytest
from numpy.typing import DTypeLike
from onnx import TensorProto, helper, numpy_helper

from capsedge.onnx_lite.schema import BY_CODE, FLOAT, INT32, UINT8
from capsedge.onnx_lite.write import Value, one_node_file


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8, np.int8, np.int32])
def test_a_node_with_a_weight_is_what_onnx_makes(dtype: DTypeLike) -> None:
    weight = np.arange(3 * 300).reshape(3, 300).astype(dtype)  # lengths of one byte and of two
    told = one_node_file(
        *("MatMulInteger", "product", ("a", "w")),
        takes=Value("a", UINT8, (200, 3)),
        makes=Value("c", INT32, (200, 300)),
        weight=("w", weight),
    )

    value = helper.make_tensor_value_info
    node = helper.make_node("MatMulInteger", ["a", "w"], ["c"], name="product")
    ends = [value("a", TensorProto.UINT8, [200, 3])], [value("c", TensorProto.INT32, [200, 300])]
    graph = helper.make_graph([node], "one node", *ends, [numpy_helper.from_array(weight, "w")])
    wanted = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    assert onnx.load_from_string(told) == wanted


def test_without_a_weight_there_is_none() -> None:
    told = one_node_file("Neg", "minus", ("x",), takes=Value("x", FLOAT, (2,)), makes=Value("y", FLOAT, (2,)))

    assert list(onnx.load_from_string(told).graph.initializer) == []


def test_the_types_have_the_numbers_of_onnx_and_the_sizes_of_numpy() -> None:
    for code, kind in BY_CODE.items():
        assert TensorProto.DataType.Value(kind.name.upper()) == code
        if kind.dtype is not None:
            assert helper.tensor_dtype_to_np_dtype(code) == kind.dtype
            assert np.dtype(kind.dtype).itemsize * 8 == kind.bits
