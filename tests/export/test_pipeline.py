"""Several files of one run: names, calibration, limits, and what one rejection leaves of the others."""

import shutil
from pathlib import Path

import pytest

from capsedge.contract import Contract
from capsedge.errors import WrongUse
from capsedge.export import RunExport, gate_model
from capsedge.training import Run
from tests.export.typed_files import contract_in, verdict_in


@pytest.fixture(scope="module")
def run(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("pipeline") / "tiny"
    shutil.copytree(trained.path, path)
    return Run(path)


@pytest.fixture(scope="module")
def contracts(run: Run) -> dict[str, Contract]:
    exporter = RunExport(run)
    return {made.path.name: made.contract for made in (exporter.export("fp32"), exporter.export("int8"))}


def test_each_precision_has_a_file_of_its_own(run: Run, contracts: dict[str, Contract]) -> None:
    assert sorted(contracts) == ["model.int8.onnx", "model.onnx"]
    for name, contract in contracts.items():
        assert contract_in(run.path / name) == contract
    sizes = {name: (run.path / name).stat().st_size for name in contracts}
    assert sizes["model.int8.onnx"] < sizes["model.onnx"]


def test_class_names_and_everything_that_inference_needs_survive_quantization(contracts: dict[str, Contract]) -> None:
    full, int8 = contracts["model.onnx"], contracts["model.int8.onnx"]
    for promise in ("classes", "labels", "input", "fit", "outputs", "shapes", "data", "recipe"):
        assert getattr(int8, promise) == getattr(full, promise)


def test_a_quantized_file_tells_its_types_its_calibration_and_its_scores(contracts: dict[str, Contract]) -> None:
    int8 = contracts["model.int8.onnx"]
    assert int8.precision == "int8"
    assert int8.shares == {"int8": (1.0, 1.0)}
    assert int8.calibration is not None
    assert int8.calibration.images == 512
    assert int8.dataset == "Fashion-MNIST subset"
    assert [(score.stage, score.split) for score in int8.scores] == [
        ("trained", "validation"), ("trained", "test"), ("int8", "validation"), ("int8", "test"),
    ]  # fmt: skip
    change = verdict_in(int8).error_change
    assert change is not None
    trained = int8.scores[0].error
    assert change.mean == pytest.approx(int8.scores[2].error - trained, abs=1e-9)
    assert int8.golden.tolerance > contracts["model.onnx"].golden.tolerance
    assert "onnxruntime" in int8.versions


def test_the_same_run_gives_the_same_bytes_in_int8_too(run: Run, contracts: dict[str, Contract]) -> None:
    before = (run.path / "model.int8.onnx").read_bytes()
    RunExport(run).export("int8")
    assert (run.path / "model.int8.onnx").read_bytes() == before


def test_a_limit_of_the_user_takes_the_place_of_the_gates(run: Run, contracts: dict[str, Contract]) -> None:
    own = contracts["model.int8.onnx"].verdict
    assert own is not None
    assert own.limits["error_change"] == 0.005
    verdict = verdict_in(RunExport(run, max_error_increase=0.25).export("fp32").contract)
    assert verdict.limits["error_change"] == 0.25
    with pytest.raises(WrongUse, match="0 to 100 points, got 250"):
        RunExport(run, max_error_increase=2.5).export("fp32")


def test_too_few_calibration_images_are_wrong_use_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="at least 100 training images"):
        RunExport(run, calibrate_on=99).export("int8", tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_a_gate_later_on_keeps_how_a_file_was_calibrated(
    run: Run, contracts: dict[str, Contract], tmp_path: Path
) -> None:
    file = tmp_path / "copy.onnx"
    shutil.copy(run.path / "model.int8.onnx", file)
    assert gate_model(file, run) == contracts["model.int8.onnx"]
