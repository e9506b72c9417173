"""The model of one node: a true ONNX file, by the onnx package, and a proof that can fail."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from capsedge.errors import ModelError
from capsedge.measure.doctor.one_node import one_node, prove
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session


def test_onnx_takes_the_file_and_computes_squares() -> None:
    model = onnx.load_from_string(one_node())
    onnx.checker.check_model(model, full_check=True)
    x = np.array([1, 2, 3, 4], np.float32)

    (y,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert np.array_equal(y, [1, 4, 9, 16])
    assert len(model.graph.node) == 1


def test_it_is_byte_for_byte_what_onnx_writes() -> None:
    value = onnx.helper.make_tensor_value_info
    node = onnx.helper.make_node("Mul", ["x", "x"], ["y"], name="square")
    ends = [value(name, onnx.TensorProto.FLOAT, [4]) for name in ("x", "y")]
    graph = onnx.helper.make_graph([node], "one node", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)

    assert onnx.load_from_string(one_node()) == model


def test_it_runs_on_the_cpu(tmp_path: Path) -> None:
    file = tmp_path / "one.onnx"
    file.write_bytes(one_node())

    with open_session(file) as session:
        prove(session)


@pytest.mark.parametrize("answer", [[0, 1, 9, 0.2], [0, 0, 0, 0], [float("nan")] * 4])
def test_a_wrong_answer_is_no_proof(answer: list[float]) -> None:
    class Wrong:
        def run_raw(self, feeds: Any) -> dict[str, Any]:
            return {"y": np.array(answer, np.float32)}

    with pytest.raises(ModelError, match="a node that squares"):
        prove(cast(Session, Wrong()))
