"""A model for Triton's Python backend: its configuration, its files, and what its model.py computes.

`make triton` runs it in a real server. Here a stand-in takes the place of the server's module.
"""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from capsedge.errors import WrongUse
from capsedge.export.triton import Serving, write_repository
from tests.export.triton.conftest import EngineMaker, parsed
from tests.export.triton.folders import tree


def test_it_has_the_file_and_the_python_that_runs_it(accepted: Path, tmp_path: Path) -> None:
    folder = write_repository(tmp_path / "models", accepted, serving=Serving(threads=2), python=True)
    plain = write_repository(tmp_path / "models", accepted)

    config, other = parsed(folder), parsed(plain)
    assert folder.name == f"{plain.name}-python"
    assert sorted(tree(folder)) == ["1/model.onnx", "1/model.py", "config.pbtxt", "labels.txt"]
    assert config.backend == "python"
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    for field in ("max_batch_size", "input", "output", "dynamic_batching", "instance_group", "model_warmup"):
        assert getattr(config, field) == getattr(other, field)


class StandIn:
    """The part of Triton's `triton_python_backend_utils` that model.py uses."""

    Tensor = staticmethod(lambda name, array: (name, array))
    InferenceResponse: Any = staticmethod(dict)

    @staticmethod
    def get_input_tensor_by_name(request: Any, name: str) -> Any:
        return SimpleNamespace(as_numpy=lambda: request.tensors[name])


def test_its_python_answers_each_request_of_a_batch_with_the_outputs_it_asks_for(
    accepted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_repository(tmp_path / "models", accepted, serving=Serving(threads=1), python=True)
    config = parsed(folder)
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", StandIn)
    model = runpy.run_path(str(folder / "1" / "model.py"))["TritonPythonModel"]()
    written = {
        "input": [{"name": each.name} for each in config.input],
        "output": [{"name": each.name} for each in config.output],
        "parameters": {"intra_op_thread_count": {"string_value": "1"}},
    }
    model.initialize({"model_config": json.dumps(written), "model_repository": str(folder), "model_version": "1"})
    random = np.random.default_rng(0)
    wanted = [["lengths"], ["poses", "lengths"], ["lengths"]]
    requests = [
        SimpleNamespace(
            tensors={"image": random.integers(0, 256, (count, *config.input[0].dims), np.uint8)},
            requested_output_names=lambda names=names: names,
        )
        for count, names in zip((2, 1, 3), wanted, strict=True)
    ]

    answers = model.execute(requests)

    session = onnxruntime.InferenceSession(str(accepted), providers=["CPUExecutionProvider"])
    for request, names, answer in zip(requests, wanted, answers, strict=True):
        alone = session.run(sorted(names), {"image": request.tensors["image"]})
        assert sorted(answer) == sorted(names)
        for name, array in zip(sorted(names), alone, strict=True):
            np.testing.assert_allclose(answer[name], array, atol=1e-6)


def test_an_engine_and_a_gpu_are_refused(make_engine: EngineMaker, accepted: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"Python backend serves \.onnx files, got the engine"):
        write_repository(tmp_path / "models", make_engine(), python=True)
    with pytest.raises(WrongUse, match="runs the file on the CPU: leave out gpu"):
        write_repository(tmp_path / "models", accepted, serving=Serving(gpu=True), python=True)
    assert not list((tmp_path / "models").glob("*"))
