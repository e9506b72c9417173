"""`capsedge export` in every precision, with engines and a repository, as a person types it."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capsedge.contract import PRECISIONS, Contract
from capsedge.export import RunExport
from capsedge.export.gate import tolerance
from capsedge.training import Run
from tests.cli.conftest import one_line
from tests.in_process import Capsedge, Said, in_this_process
from tests.tiny import tiny_recipe, train_tiny

rtx = pytest.importorskip("tensorrt_rtx")


capsedge = pytest.fixture(in_this_process)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = tiny_recipe("train.epochs=2", "network.decoder=[8]", "network.capsule_types=4")
    return train_tiny(tmp_path_factory.mktemp("export") / "tiny", recipe)


@pytest.fixture(scope="module")
def result(run: Run) -> Said:
    """One export of everything, in a process of its own."""
    command = [
        sys.executable, "-m", "capsedge", "export", str(run.path),
        "--precision", ",".join(PRECISIONS[:2]), "--precision", ",".join(PRECISIONS[2:]),
        "--with-decoder", "--calibration-images", "128", "--trt", "--trt-batch", "1,4,8",
        "--triton", str(run.path / "models"), "--json",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def exported(result: Said) -> dict[str, dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    answer = msgspec.json.decode(result.stdout)
    assert answer["failed"] == []
    return dict(zip(PRECISIONS, answer["exported"], strict=True))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_has_a_file_that_says_what_it_is(
    precision: str, exported: dict[str, dict[str, Any]], run: Run
) -> None:
    name = "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"
    assert exported[precision]["model"] == str(run.path / name)
    contract = msgspec.convert(exported[precision]["contract"], Contract)
    assert contract.precision == precision
    assert contract.verdict is not None
    assert contract.verdict.status == ("not executed here" if precision in ("bf16", "fp8") else "accepted")
    assert contract.outputs == ("lengths", "poses", "reconstruction")
    assert contract.shapes["reconstruction"] == (28, 28, 1)
    assert contract.verdict.largest_reconstruction_difference is not None
    assert bool(contract.calibration) == (precision in ("int8", "int8+fp16", "fp8"))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_precision_has_a_real_engine_that_is_not_called_accepted(
    precision: str, exported: dict[str, dict[str, Any]], run: Run
) -> None:
    manifest = exported[precision]["engine"]
    stem = "model" if precision == "fp32" else f"model.{precision}"
    engine = run.path / f"{stem}.engine"
    assert engine.stat().st_size == manifest["size_bytes"] > 10_000
    assert manifest["batch"] == [1, 4, 8]
    assert manifest["contract"]["verdict"]["status"] == "not executed here"
    types = set(manifest["precision"].values())  # as TensorRT read them
    assert {"fp32": "float", "fp16": "half", "bf16": "bf16", "fp8": "fp8"}.get(precision, "int8") in types


def test_a_repository_holds_what_ran_here_and_nothing_else(
    exported: dict[str, dict[str, Any]], result: Said, run: Run
) -> None:
    served = {precision: each["triton"] for precision, each in exported.items() if each["triton"]}
    assert sorted(served) == ["fp16", "fp32", "int8", "int8+fp16"]
    for folder in served.values():
        assert Path(folder, "labels.txt").read_text().splitlines()[9] == "ankle-boot"
        assert Path(folder, "1", "model.onnx").exists()
    assert f"Triton: left out '{run.path / 'model.bf16.onnx'}', which was not executed here" in result.stderr


def test_a_person_sees_types_verdicts_and_a_table(result: Said, run: Run) -> None:
    assert "int8 in " in result.stderr
    assert "calibrated by " in result.stderr
    assert "of 128 training images" in result.stderr
    rows = [line.split()[0] for line in result.stderr.splitlines() if line.startswith((" fp", " bf", " int"))]
    assert rows == list(PRECISIONS)
    assert "next: capsedge bench " in result.stderr
    assert not [path for path in run.path.iterdir() if path.name.startswith(".") and path.name != ".lock"]


def test_one_rejected_file_leaves_the_others_and_the_exit_code_says_so(
    run: Run, tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No error of int8 is small enough for a network that is right on what int8 errs on; so bend the limit."""
    strict = dataclasses.replace(tolerance.TOLERANCES["int8"], length=1e-9)
    monkeypatch.setitem(tolerance.TOLERANCES, "int8", strict)
    output = tmp_path / "small.onnx"
    result = capsedge("export", str(run.path), "--precision", "int8,fp16", "--output", str(output), "--json")
    assert result.returncode == 1
    answer = msgspec.json.decode(result.stdout)
    assert [each["model"] for each in answer["exported"]] == [str(tmp_path / "small.fp16.onnx")]
    assert [each["code"] for each in answer["failed"]] == ["gate-rejected"]
    assert "a length differs by" in answer["failed"][0]["text"]
    assert msgspec.json.decode(result.stderr.splitlines()[-1])["error"] == answer["failed"][0]
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["small.fp16.onnx", "small.int8.onnx.rejected", "small.int8.onnx.rejected.json"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--precision", "half"], 2, "there are: fp32, fp16, bf16, int8, int8+fp16, fp8"),
        (
            ["--precision", "int8", "--calibration-images", "20"],
            2,
            "training images for calibration, and 20 were requested",
        ),
        (["--allow-deferred"], 2, "add --trt"),
        (["--triton-python"], 2, "add --triton FOLDER"),
        (["--triton", "models", "--triton-python", "--trt"], 2, "leave out one of them"),
        (["--trt", "--trt-target", "sm75"], 2, "an engine in fp32 was requested for sm75, which cannot compute it"),
        (["--trt", "--trt-target", "sm86", "--precision", "fp8"], 2, "fp8 was requested for sm86"),
        (["--trt", "--trt-package", "trt"], 2, "invalid value for '--trt-package'"),
        (
            ["--trt", "--trt-package", "tensorrt"],
            1,
            "use --allow-deferred to write the command for its target machine",
        ),
        (["--trt", "--trt-package", "tensorrt", "--trt-target", "sm86"], 2, "targets are an option of TensorRT-RTX"),
        (["--max-error-increase", "-1"], 2, "--max-error-increase"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    arguments: list[str],
    code: int,
    words: str,
    run: Run,
    tmp_path: Path,
    capsedge: Capsedge,
) -> None:
    result = capsedge("export", str(run.path), "--output", str(tmp_path / "model.onnx"), *arguments)
    assert result.returncode == code, result.stderr
    assert words in result.stderr.splitlines()[-1]
    assert list(tmp_path.iterdir()) == []


def test_an_engine_of_the_classic_tensorrt_is_left_to_its_target_machine(
    run: Run, tmp_path: Path, capsedge: Capsedge
) -> None:
    """Which is not installed here: it could be a laptop that makes files for a Jetson."""
    output = tmp_path / "model.onnx"
    arguments = ["--trt", "--trt-package", "tensorrt", "--trt-batch", "1,2,4", "--allow-deferred"]
    result = capsedge("export", str(run.path), "--output", str(output), *arguments, "--json")
    assert result.returncode == 0, result.stderr
    (made,) = msgspec.json.decode(result.stdout)["exported"]
    line = made["engine"]["deferred"]
    assert line.startswith("trtexec --onnx=model.onnx --saveEngine=model.engine")
    assert "--minShapes=image:1x28x28x1 --optShapes=image:2x28x28x1 --maxShapes=image:4x28x28x1" in line
    assert line in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.engine.json", "model.onnx"]
    assert line in one_line(capsedge("verify", str(tmp_path / "model.engine")), 1)


def test_a_decoder_that_was_not_trained_cannot_be_exported(tmp_path: Path, capsedge: Capsedge) -> None:
    run = train_tiny(tmp_path / "run", tiny_recipe("train.epochs=1"))
    result = capsedge("export", str(run.path), "--with-decoder")
    assert result.returncode == 2
    assert "was trained without a decoder" in result.stderr.splitlines()[-1]


def test_an_unfinished_run_is_exported_and_that_is_said(run: Run, tmp_path: Path, capsedge: Capsedge) -> None:
    said = "note: the run is not finished; its best network so far is exported"
    shutil.copytree(run.path, tmp_path / "begun", ignore=shutil.ignore_patterns("model*"))
    record = tmp_path / "begun" / "run.json"
    values = msgspec.json.decode(record.read_bytes())
    record.write_bytes(msgspec.json.encode(values | {"status": "training", "scores": [], "best_epoch": 0}))
    begun = capsedge("export", str(tmp_path / "begun"))
    assert begun.returncode == 0, begun.stderr
    assert said in begun.stderr
    shutil.copytree(run.path, tmp_path / "done", ignore=shutil.ignore_patterns("model*"))
    assert said not in capsedge("export", str(tmp_path / "done")).stderr


@pytest.mark.parametrize(
    ("finished", "said"), [(0, "no model was written"), (1, "complete, and no other model was w")]
)
def test_ctrl_c_says_what_is_left_and_leaves_nothing_unfinished(
    finished: int, said: str, run: Run, capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = iter(range(9))
    gate = RunExport._gate

    def interrupted(*arguments: Any) -> Contract:
        if next(judged) == finished:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        return gate(*arguments)

    monkeypatch.setattr(RunExport, "_gate", interrupted)
    done = capsedge("export", str(run.path), "--precision", "fp32,fp16", "-o", str(tmp_path / "m.onnx"))

    assert done.returncode == 130
    line = done.stderr.splitlines()[-1]
    assert said in line
    assert (f"interrupted: '{tmp_path / 'm.onnx'}' is" in line) == (finished == 1)
    assert [file.name for file in tmp_path.iterdir()] == ["m.onnx"] * finished
