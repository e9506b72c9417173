"""The gate must be able to fail: files are corrupted on the disk and go through the command line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from capsedge.contract import METADATA_KEY, Contract, contract_of
from capsedge.errors import GateRejected
from capsedge.export import export_run, road
from capsedge.export.gate import Tolerance
from capsedge.onnx_file import read_onnx_file
from capsedge.training import Run

Model = onnx.ModelProto


def capsedge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "capsedge", *arguments], capture_output=True, text=True, check=False)


def weight(model: Model, operator: str) -> onnx.TensorProto:
    names = next(node.input for node in model.graph.node if node.op_type == operator)
    tensor: onnx.TensorProto = next(tensor for tensor in model.graph.initializer if tensor.name in names)
    return tensor


def change(tensor: onnx.TensorProto, edit: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor).copy()), tensor.name))


def a_wrong_weight(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[values.shape[0] // 2, 3] += 5.0
        return values

    change(weight(model, "Gemm"), edit)


def a_wrong_scale(model: Model) -> None:
    change(weight(model, "Mul"), lambda values: values * np.float32(2.0))


def a_transposed_kernel(model: Model) -> None:
    change(weight(model, "Conv"), lambda values: np.ascontiguousarray(values.swapaxes(2, 3)))


def swapped_class_names(model: Model) -> None:
    entry = next(prop for prop in model.metadata_props if prop.key == METADATA_KEY)
    contract = msgspec.json.decode(entry.value, type=Contract)
    first, second, *rest = contract.classes
    entry.value = msgspec.json.encode(msgspec.structs.replace(contract, classes=(second, first, *rest))).decode()


def a_nan(model: Model) -> None:
    def edit(values: np.ndarray) -> np.ndarray:
        values[0] = np.nan
        return values

    change(weight(model, "Gemm"), edit)


def a_class_too_few(model: Model) -> None:
    change(weight(model, "Gemm"), lambda values: values[:, :-4].copy())


CORRUPTIONS: list[tuple[Callable[[Model], None], str]] = [
    (a_wrong_weight, "a length differs by"),
    (a_wrong_scale, "a length differs by"),
    (a_transposed_kernel, "a length differs by"),
    (swapped_class_names, "its contract has classes ('trouser', 't-shirt'"),
    (a_nan, "lengths are NaN or infinite"),
    (a_class_too_few, ""),
]


@pytest.mark.parametrize(("corrupt", "reason"), CORRUPTIONS, ids=lambda value: getattr(value, "__name__", None))
def test_a_corrupted_file_is_rejected_and_set_aside(
    corrupt: Callable[[Model], None], reason: str, exported: Run
) -> None:
    path = exported.path / "model.onnx"
    model = onnx.load_model(str(path))
    corrupt(model)
    path.write_bytes(model.SerializeToString())

    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("capsedge: the gate rejected")
    assert reason in line
    assert not path.exists()
    kept = path.with_name("model.onnx.rejected")
    assert kept.exists()
    report = msgspec.json.decode(kept.with_name("model.onnx.rejected.json").read_bytes())
    assert report["status"] == "rejected"
    assert any(reason in text for text in report["reasons"])


def test_an_uncorrupted_file_written_by_the_same_tools_passes(exported: Run) -> None:
    path = exported.path / "model.onnx"
    before = read_onnx_file(path)
    model = onnx.load_model(str(path))
    path.write_bytes(model.SerializeToString())
    result = capsedge("gate", str(path), "--json")
    assert result.returncode == 0, result.stderr
    contract = msgspec.json.decode(result.stdout, type=Contract)
    assert contract.verdict is not None
    assert contract.verdict.status == "accepted"
    assert read_onnx_file(path).graph_sha256 == before.graph_sha256


def test_a_truncated_file_is_one_line(exported: Run) -> None:
    path = exported.path / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    result = capsedge("gate", str(path))
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "not a whole ONNX file" in result.stderr


def test_a_file_of_another_run_is_rejected(exported: Run, dynamic: Run) -> None:
    other = export_run(dynamic).path
    result = capsedge("gate", str(other), "--run", str(exported.path))
    assert result.returncode == 1
    assert "the gate rejected" in result.stderr


def test_a_rejected_export_leaves_no_accepted_file_not_even_an_older_one(
    exported: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (exported.path / "model.onnx").exists()
    monkeypatch.setattr(road, "TOLERANCES", {"fp32": Tolerance(length=-1.0, agreement=0.999)})
    with pytest.raises(GateRejected, match=r"kept as '.*model\.onnx\.rejected'"):
        export_run(exported)
    left = {path.name for path in exported.path.iterdir()}
    assert "model.onnx" not in left
    assert {"model.onnx.rejected", "model.onnx.rejected.json"} <= left
    assert not any("candidate" in name for name in left)


def test_the_error_on_the_test_set_is_measured_on_the_file(exported: Run) -> None:
    path = exported.path / "model.onnx"
    contract = contract_of(read_onnx_file(path), source="test")
    assert contract is not None
    trained = {score.split: score.error for score in contract.scores if score.stage == "trained"}
    onnx_scores = {score.split: score.error for score in contract.scores if score.stage == "onnx"}
    assert onnx_scores == pytest.approx(trained, abs=0.002)


def test_gate_needs_the_run_of_the_model(exported: Run, tmp_path: Path) -> None:
    lonely = tmp_path / "elsewhere" / "model.onnx"
    lonely.parent.mkdir()
    lonely.write_bytes((exported.path / "model.onnx").read_bytes())
    result = capsedge("gate", str(lonely))
    assert result.returncode == 1
    assert "is not a run" in result.stderr
