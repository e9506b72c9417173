"""Which files may be served, and what each says of itself."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from capsedge.contract import Contract, EngineManifest, contract_of
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.integrity import Check, check_engine, check_onnx
from capsedge.runtime.open import model_file
from capsedge.runtime.ort.placement import open_on
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.settings import DEFAULTS
from capsedge.runtime.tensorrt.manifest import read_manifest

Backend = Literal["onnxruntime", "tensorrt"]

ANY = -1  # an axis of any length

_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(float16)": "TYPE_FP16"}


@dataclass(frozen=True)
class Output:
    """One output as Triton's configuration describes it: the type, and the axes after the batch."""

    type: str
    axes: tuple[int, ...]


@dataclass(frozen=True)
class ServableFile:
    """A file that may be served.

    Attributes:
        file: An ONNX file or an engine.
        contract: Its promises.
        backend: The backend of Triton that runs it.
        outputs: The outputs that the contract names.
        batch: Smallest, optimal and largest batch, or None where any batch runs.
        remarks: What whoever runs the server should know, a sentence each.
    """

    file: Path
    contract: Contract
    backend: Backend
    outputs: dict[str, Output]
    batch: tuple[int, int, int] | None
    remarks: tuple[str, ...]


def to_serve(model: Path, contract: Contract, engine: Path | None, manifest: EngineManifest | None) -> Path | None:
    """The file to serve: the engine where Triton loads it and it ran here, else the ONNX file if that ran.

    Args:
        model: The ONNX file.
        contract: Its contract.
        engine: The engine that was built from it; None without one.
        manifest: The engine's manifest.
    """
    if (
        engine is not None
        and manifest is not None
        and manifest.package == "tensorrt"
        and _accepted(manifest.contract)
    ):
        return engine
    return model if _accepted(contract) else None


def _accepted(contract: Contract) -> bool:
    return contract.verdict is not None and contract.verdict.status == "accepted"


def read_source(model: Path, *, allow_unexecuted: bool) -> ServableFile:
    """Read a file's contract, and refuse it where it may not be served or where Triton could not load it.

    Args:
        model: An `.onnx` file, an `.engine` with its manifest, or the folder of a run (`model_file`).
        allow_unexecuted: Whether an engine is taken that the gate has not seen run; its remarks say so then.

    Raises:
        ModelError: See above, in one line.
    """
    file = model_file(model)
    return _read_engine(file, allow_unexecuted=allow_unexecuted) if file.suffix == ".engine" else _read_onnx(file)


def _read_onnx(file: Path) -> ServableFile:
    read = read_onnx_file(file)
    contract = contract_of(read, source=str(file))
    if contract is None or contract.verdict is None:
        raise ModelError(
            f"'{file}' carries no contract with a verdict, so it is not served: make it with capsedge export"
        )
    if contract.verdict.status != "accepted":
        raise ModelError(
            f"'{file}' was not accepted by the gate ('{contract.verdict.status}'), so it is not served: choose "
            "another precision"
        )
    _refuse_altered(check_onnx(read, contract), file, f"capsedge gate {file}")
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
    """The output exactly as ONNX Runtime states it: Triton compares, and takes no other."""
    batch, *axes = shape
    if isinstance(batch, int):
        raise ModelError(
            f"'{file}' gives '{name}' for a batch of {batch} only, so Triton cannot batch: export it again"
        )
    if kind not in _TYPES:
        raise ModelError(f"'{file}' gives '{name}' as {kind}, and {' or '.join(_TYPES)} is served: export it again")
    return Output(_TYPES[kind], tuple(axis if isinstance(axis, int) else ANY for axis in axes))


def _read_engine(file: Path, *, allow_unexecuted: bool) -> ServableFile:
    manifest = read_manifest(file)
    contract, batch = manifest.contract, manifest.batch
    if manifest.package != "tensorrt":
        raise ModelError(
            f"'{file}' is an engine of TensorRT-RTX, which Triton cannot load: serve its ONNX file, or build an "
            "engine with the classic TensorRT on the machine that serves"
        )
    checks = check_engine(file, manifest)
    _refuse_altered(checks, file, "copy the engine and its manifest again")
    if batch[0] > 1:
        raise ModelError(
            f"'{file}' takes batches of {batch[0]} or more, and Triton sends single images too: build it again with "
            f"--trt-batch 1,{batch[1]},{batch[2]}"
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


def _refuse_altered(checks: Iterable[Check], file: Path, todo: str) -> None:
    broken = [check.said for check in checks if check.holds is False]
    if broken:
        raise ModelError(f"'{file}' is not what the gate saw ({'; '.join(broken)}): {todo}")


def _release(manifest: EngineManifest) -> str:
    where = f" on {manifest.gpu}" if manifest.gpu else ""
    which = manifest.package_version or "of a release that is not known here"
    gpu = "" if manifest.hardware_compatible else ", and run on this kind of GPU"
    return f"Built by TensorRT {which}{where}: Triton must carry this release{gpu}."


def _verdict(file: Path, contract: Contract, *, allow_unexecuted: bool) -> str:
    verdict = contract.verdict
    if verdict is not None and verdict.status == "accepted":
        return f"The gate accepted this engine on {verdict.provider}."
    if verdict is not None and verdict.status == "rejected":
        raise ModelError(f"the gate rejected '{file}', so it is not served: build it again")
    if not allow_unexecuted:
        raise ModelError(
            f"'{file}' has not been executed, so nobody knows that it is right: gate it on its GPU, or serve "
            "its ONNX file"
        )
    return "NOT EXECUTED: the gate has not seen this engine run. Before it serves, run capsedge verify on its GPU."


def _axes(contract: Contract, name: str) -> tuple[int, ...]:
    """The axes after the batch, as far as the contract knows them: TensorRT's backend lets the others be free.

    See `capsedge.runtime.session.Outputs` for lengths and poses, `capsedge.export.collapse` for the reconstruction.
    """
    several = (contract.labels,) if contract.labels > 1 else ()
    return {
        "lengths": (len(contract.classes),),
        "poses": (len(contract.classes), ANY),
        "reconstruction": (*several, ANY, ANY, contract.input.channels),
    }[name]
