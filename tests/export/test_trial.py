"""Files in types that this machine has not are judged by what those types would make of them."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from capsedge.errors import GateRejected
from capsedge.export import RunExport
from capsedge.export.precision import emulated_types
from capsedge.runtime.open import open_session
from capsedge.training import Run
from tests.export.typed_files import verdict_in


@pytest.fixture(scope="module")
def exporter(trained: Run) -> RunExport:
    return RunExport(trained)


def test_a_file_in_fp16_is_accepted_and_tells_what_true_fp16_makes_of_it(exporter: RunExport, tmp_path: Path) -> None:
    verdict = verdict_in(exporter.export("fp16", tmp_path / "model.onnx").contract)
    assert (verdict.status, verdict.provider) == ("accepted", "CPUExecutionProvider")
    (remark,) = [remark for remark in verdict.remarks if "fp16" in remark]
    assert "this provider computes fp16 in fp32" in remark


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_what_does_not_run_here_is_not_accepted_and_its_figures_are_those_of_an_emulation(
    precision: str, exporter: RunExport, tmp_path: Path
) -> None:
    killed = tmp_path / ".candidate-killed"
    killed.mkdir()
    (killed / ".lock").touch()
    made = exporter.export(precision, tmp_path / "model.onnx")  # type: ignore[arg-type]
    verdict = verdict_in(made.contract)
    assert (verdict.status, verdict.provider) == ("not executed here", "")
    assert f"{precision} does not run here: the figures are of an emulation" in verdict.remarks[0]
    assert verdict.images == 400
    assert verdict.largest_length_difference is not None
    assert verdict.largest_length_difference > 1e-4
    assert made.contract.precision == precision
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_an_overflow_that_fp32_arithmetic_hides_is_found(trained: Run, tmp_path: Path) -> None:
    """Between the convolutions are numbers beyond 65,504; ONNX Runtime's CPU provider never has them in fp16."""
    shutil.copytree(trained.path, tmp_path / "run")
    exporter = RunExport(Run(tmp_path / "run"))
    with torch.no_grad():
        exporter.network.get_parameter("stem.conv.weight").mul_(1e5)
        exporter.network.get_parameter("stem.conv.bias").mul_(1e5)
        exporter.network.primary.conv.weight.mul_(1e-2)
    assert exporter.export("fp32").contract.verdict is not None  # nothing is wrong with the network
    with pytest.raises(GateRejected, match=r"in true fp16 arithmetic .* NaN or infinite"):
        exporter.export("fp16")
    kept = tmp_path / "run" / "model.fp16.onnx.rejected"
    assert emulated_types(onnx.load_model(str(kept))) == {"fp16"}
    shutil.copy(kept, tmp_path / "healthy.onnx")
    with open_session(tmp_path / "healthy.onnx") as session:
        assert np.isfinite(session.run(exporter.dataset.validation.images[:20]).lengths).all()
    bf16 = exporter.export("bf16").contract.verdict
    assert bf16 is not None
    assert bf16.status == "not executed here"
    assert not list((tmp_path / "run").glob(".*.onnx"))
