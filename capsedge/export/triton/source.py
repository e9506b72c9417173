"""The files that Triton may serve, and their description from the contract."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from capsedge.contract import Contract, EngineManifest
from capsedge.errors import ModelError, WrongUse
from capsedge.export.accepted import accepted_contract, is_accepted, refuse_altered
from capsedge.runtime.integrity import check_engine
from capsedge.runtime.open import model_file
from capsedge.runtime.ort.placement import open_on
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.settings import DEFAULTS
from capsedge.runtime.tensorrt.manifest import read_manifest

Backend = Literal["onnxruntime", "python", "tensorrt"]

ANY = -1  # an axis of any length

_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(float16)": "TYPE_FP16"}


@dataclass(frozen=True)
class Output:
    """One output in Triton's configuration: its type and the axes after the batch."""

    type: str
    axes: tuple[int, ...]


@dataclass(frozen=True)
class ServableFile:
    """A file that may be served.

    Attributes:
        file: An ONNX file or an engine.
        contract: Its contract.
        backend: The Triton backend that runs it.
        outputs: The outputs of the contract, by name.
        batch: Smallest, optimal and largest batch; None for any batch.
        remarks: Sentences for the operator of the server.
    """

    file: Path
    contract: Contract
    backend: Backend
    outputs: dict[str, Output]
    batch: tuple[int, int, int] | None
    remarks: tuple[str, ...]


def to_serve(model: Path, contract: Contract, engine: Path | None, manifest: EngineManifest | None) -> Path | None:
    """The file to serve: the engine if Triton loads it and it was accepted here, else the ONNX file if accepted.

    Args:
        model: The ONNX file.
        contract: Its contract.
        engine: The engine that was built from it; None if there is none.
        manifest: The engine's manifest.
    """
    if (
        engine is not None
        and manifest is not None
        and manifest.package == "tensorrt"
        and is_accepted(manifest.contract)
    ):
        return engine
    return model if is_accepted(contract) else None


def read_source(model: Path, *, allow_unexecuted: bool, python: bool = False) -> ServableFile:
    """Read a file's contract; refuse a file that may not be served or that Triton cannot load.

    Args:
        model: An `.onnx` file, an `.engine` with its manifest, or the folder of a run (`model_file`).
        allow_unexecuted: Whether an engine that the gate has not executed is allowed; its remarks then say so.
        python: Whether an `.onnx` file is for Triton's Python backend instead of its backend for ONNX Runtime.

    Raises:
        ModelError: The file is refused.
        WrongUse: An engine is for the Python backend.
    """
    file = model_file(model)
    if file.suffix != ".engine":
        return replace(_read_onnx(file), backend="python" if python else "onnxruntime")
    if python:
        raise WrongUse(f"Triton's Python backend serves .onnx files, got the engine '{file}'", "leave out python")
    return _read_engine(file, allow_unexecuted=allow_unexecuted)


def _read_onnx(file: Path) -> ServableFile:
    contract = accepted_contract(file)
    assert contract.verdict is not None  # it was accepted
    nodes = {node.name: node for node in open_on(load_onnxruntime(), file, DEFAULTS).get_outputs()}
    return ServableFile(
        file=file,
        contract=contract,
        backend="onnxruntime",
        outputs={name: _output(file, name, nodes[name].type, nodes[name].shape) for name in contract.outputs},
        batch=None,
        remarks=(f"The gate accepted this file on {contract.verdict.provider}.",),
    )


def _output(file: Path, name: str, kind: str, shape: list[int | str | None]) -> Output:
    """The output exactly as ONNX Runtime reports it, since Triton refuses any other."""
    batch, *axes = shape
    if isinstance(batch, int):
        raise ModelError(
            f"'{file}' has '{name}' for a fixed batch of {batch}, so Triton cannot batch",
            "export it with a free batch",
        )
    if kind not in _TYPES:
        raise ModelError(
            f"'{file}' has '{name}' as {kind}, but only {' or '.join(_TYPES)} is served", "export it again"
        )
    return Output(_TYPES[kind], tuple(axis if isinstance(axis, int) else ANY for axis in axes))


def _read_engine(file: Path, *, allow_unexecuted: bool) -> ServableFile:
    manifest = read_manifest(file)
    contract, batch = manifest.contract, manifest.batch
    if manifest.package != "tensorrt":
        raise ModelError(
            f"'{file}' is an engine of TensorRT-RTX, which Triton cannot load",
            "serve its ONNX file, or build an engine with the classic TensorRT on the server",
        )
    checks = check_engine(file, manifest)
    refuse_altered(checks, file, "copy the engine and its manifest again")
    if batch[0] > 1:
        raise ModelError(
            f"'{file}' takes batches of {batch[0]} or more, but Triton also sends single images",
            f"build it again with --trt-batch 1,{batch[1]},{batch[2]}",
        )
    return ServableFile(
        file=file,
        contract=contract,
        backend="tensorrt",
        outputs={name: Output("TYPE_FP32", _axes(contract, name)) for name in contract.outputs},
        batch=batch,
        remarks=(
            _release(manifest),
            *(f"Unchecked: {check.said}." for check in checks if check.holds is None),
            _verdict(file, contract, allow_unexecuted=allow_unexecuted),
        ),
    )


def _release(manifest: EngineManifest) -> str:
    where = f" on {manifest.gpu}" if manifest.gpu else ""
    which = manifest.package_version or "of an unknown release"
    gpu = "" if manifest.hardware_compatible else ", and run on this kind of GPU"
    return f"Built by TensorRT {which}{where}: Triton must have this release{gpu}."


def _verdict(file: Path, contract: Contract, *, allow_unexecuted: bool) -> str:
    verdict = contract.verdict
    if verdict is not None and verdict.status == "accepted":
        return f"The gate accepted this engine on {verdict.provider}."
    if verdict is not None and verdict.status == "rejected":
        raise ModelError(f"the gate rejected '{file}', so it is not served", "build it again")
    if not allow_unexecuted:
        raise ModelError(
            f"'{file}' was not executed, so its results are not proved", "gate it on its GPU, or serve its ONNX file"
        )
    return "NOT EXECUTED: the gate has not run this engine. Before serving it, run capsedge verify on its GPU."


def _axes(contract: Contract, name: str) -> tuple[int, ...]:
    """The axes after the batch that the contract has; TensorRT's backend allows the others to be free.

    See `capsedge.runtime.session.Outputs` for lengths and poses, `capsedge.export.collapse` for the reconstruction.
    """
    several = (contract.labels,) if contract.labels > 1 else ()
    return {
        "lengths": (len(contract.classes),),
        "poses": (len(contract.classes), ANY),
        "reconstruction": (*several, ANY, ANY, contract.input.channels),
    }[name]
