"""The hand-written file with one product, against onnx and numpy."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from capsedge.measure.profile.one_product import KINDS, write_product


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_is_sound_and_computes_the_product(kind: str, tmp_path: Path) -> None:
    feeds = write_product(tmp_path / "product.onnx", kind, 150)

    model = onnx.load(tmp_path / "product.onnx")
    onnx.checker.check_model(model, full_check=True)
    weight = numpy_helper.to_array(model.graph.initializer[0])
    session = onnxruntime.InferenceSession(tmp_path / "product.onnx", providers=["CPUExecutionProvider"])
    (given,) = session.run(None, feeds)
    wide = np.int64 if kind == "int8" else np.float64
    wanted = feeds["a"].astype(wide) @ weight.astype(wide)
    np.testing.assert_allclose(given, wanted, rtol=1e-2 if kind == "fp16" else 1e-5)
