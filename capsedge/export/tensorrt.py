"""From an accepted ONNX file to a TensorRT engine with its manifest; no GPU is needed for TensorRT-RTX."""

import hashlib
import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from capsedge.contract import EngineManifest, Verdict, contract_of, encode
from capsedge.errors import MissingExtra, ModelError, WrongUse
from capsedge.export.engine_worker import Job, Result
from capsedge.files import write_atomically
from capsedge.onnx_file import read_onnx_file
from capsedge.runtime.engine import manifest_path

Package = Literal["tensorrt_rtx", "tensorrt"]

DEFAULT_BATCH = (1, 1, 64)


def build_engine(
    model: Path,
    engine: Path | None = None,
    *,
    batch: tuple[int, int, int] = DEFAULT_BATCH,
    targets: tuple[str, ...] = (),
) -> tuple[Path, EngineManifest]:
    """Build an engine from an exported ONNX file and write its manifest beside it, `<engine>.json`.

    Args:
        model: An ONNX file with an accepted contract.
        engine: Where the engine goes; None for the model's name with `.engine`.
        batch: Smallest, optimal and largest batch.
        targets: Compute capabilities such as `sm86`, for TensorRT-RTX; empty for its default (8.0 and later).

    Raises:
        MissingExtra: No TensorRT is installed.
        ModelError: The file has no accepted contract, or TensorRT refuses it.
        WrongUse: The batch sizes or a target cannot be.
    """
    engine = engine or model.with_suffix(".engine")
    file = read_onnx_file(model)
    contract = contract_of(file, source=str(model))
    if contract is None or contract.verdict is None or contract.verdict.status != "accepted":
        raise ModelError(f"'{model}' carries no accepted contract: make it with capsedge export")
    check_options(batch, targets)
    package = choose_package(targets)
    job = Job(package=package, onnx=str(model), engine=str(engine), batch=batch, targets=targets)
    result = _build_elsewhere(job)
    if result.errors:
        raise ModelError(f"{package} {result.version} built no engine from '{model}': {'; '.join(result.errors)}")
    content = engine.read_bytes()
    manifest = EngineManifest(
        engine_sha256=hashlib.sha256(content).hexdigest(),
        package=package,
        package_version=result.version,
        targets=targets,
        batch=batch,
        build_seconds=round(result.seconds, 3),
        size_bytes=len(content),
        precision=result.precision,
        # The engine has not computed anything yet: the ONNX file's verdict is not the engine's.
        contract=msgspec.structs.replace(contract, verdict=Verdict("not executed here")),
    )
    write_atomically(manifest_path(engine), msgspec.json.format(encode(manifest)))
    return engine, manifest


def choose_package(targets: tuple[str, ...] = ()) -> Package:
    """The TensorRT to build with: the classic one where it and its GPU are there, else TensorRT-RTX.

    Targets can be given to TensorRT-RTX only: the classic builder builds for the GPU it finds.

    Raises:
        MissingExtra: Neither is installed.
    """
    classic = importlib.util.find_spec("tensorrt") is not None
    rtx = importlib.util.find_spec("tensorrt_rtx") is not None
    if classic and not targets and (_has_gpu() or not rtx):
        return "tensorrt"
    if rtx:
        return "tensorrt_rtx"
    raise MissingExtra("building an engine needs TensorRT, which is not installed: pip install 'capsedge[trt]'")


def _has_gpu() -> bool:
    """Whether the CUDA driver finds a device; asked of torch, which every exporting machine has."""
    import torch

    return torch.cuda.is_available()


def check_options(batch: tuple[int, int, int], targets: tuple[str, ...]) -> None:
    """Refuse batch sizes and targets that cannot be.

    Raises:
        WrongUse: They do not rise, or a target is not written as a compute capability.
    """
    smallest, optimal, largest = batch
    if not 1 <= smallest <= optimal <= largest:
        raise WrongUse(f"batch sizes must rise from at least 1 (smallest, optimal, largest), and {batch} was given")
    for target in targets:
        if not re.fullmatch(r"sm\d{2,3}", target):
            raise WrongUse(f"a target is a compute capability such as sm86, and '{target}' was given")


def _build_elsewhere(job: Job) -> Result:
    """Run the worker in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        job_path, result_path = Path(folder, "job.json"), Path(folder, "result.json")
        job_path.write_bytes(msgspec.json.encode(job))
        worker = subprocess.run(
            [sys.executable, "-m", "capsedge.export.engine_worker", str(job_path), str(result_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        if not result_path.exists():
            last = (worker.stderr.strip().splitlines() or ["no message"])[-1]
            raise ModelError(f"{job.package} ended without a result (exit code {worker.returncode}): {last}")
        return msgspec.json.decode(result_path.read_bytes(), type=Result)
