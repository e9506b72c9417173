"""Reading a model's file without running it: its contract, size and hashes."""

from pathlib import Path

import msgspec

from capsedge.contract import Contract, EngineManifest, Int8Pairs, contract_of
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.int8_pairs import int8_pairs
from capsedge.runtime.integrity import Check, check_engine, check_onnx
from capsedge.runtime.models import find_model, title
from capsedge.runtime.open import model_file
from capsedge.runtime.tensorrt.manifest import manifest_path, read_manifest


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """The facts about a model that its file holds.

    Attributes:
        model: The model's name for people.
        file: The file that was read.
        size_bytes: Its size; None for an engine whose file is missing.
        weights_bytes: Size of each weight of an ONNX file by name, whether stored in the file or in `external`.
        external: Names of the files beside an ONNX file that hold weights (external data); no hash covers them.
        contract: The contract of an ONNX file; None for a file that capsedge did not export.
        manifest: The manifest of an engine, which holds its contract.
        precision: `Contract.precision`; None where there is no contract, or the contract lists no layer.
        flops: `Contract.flops`.
        parameters: `Contract.parameters`.
        int8_pairs: Whether the int8 layers compute the same on every processor, read from the weights, or for an
            engine from its contract; None without int8 layers.
        checks: Results of the hash comparisons.
        beside: Names of the other models in the same folder, where the folder of a run was given.
    """

    model: str
    file: str
    size_bytes: int | None
    weights_bytes: dict[str, int] = {}
    external: tuple[str, ...] = ()
    contract: Contract | None = None
    manifest: EngineManifest | None = None
    precision: str | None = None
    flops: int = 0
    parameters: int = 0
    int8_pairs: Int8Pairs | None = None
    checks: tuple[Check, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def promises(self) -> Contract | None:
        """The contract of the ONNX file, or of the engine's manifest."""
        return self.contract if self.manifest is None else self.manifest.contract

    @property
    def problems(self) -> tuple[str, ...]:
        """One clause for each hash that differs."""
        return tuple(check.said for check in self.checks if check.holds is False)


def inspect_model(model: str | Path | None = None) -> Inspection:
    """Read the facts in a model's file; needs neither a runtime nor the onnx package.

    Args:
        model: An ONNX file, an engine or its manifest, the folder of a run, the name of a model, or None for the
            default one (`find_model`).

    Raises:
        ModelError: The file is missing or damaged, or its contract is damaged or of another schema.
        WrongUse: There is no such file, and no model of that name.
    """
    path = _engine_with_manifest(model) or find_model(model)
    file = path if path.suffix == ".engine" else model_file(path)
    found = (_read_engine if file.suffix == ".engine" else _read_onnx)(file)
    contract = found.promises
    return msgspec.structs.replace(
        found,
        precision=contract.precision if contract and contract.layers else None,
        flops=contract.flops if contract else 0,
        parameters=contract.parameters if contract else 0,
        beside=_beside(file) if path.is_dir() else (),
    )


def _engine_with_manifest(model: str | Path | None) -> Path | None:
    """The engine that the path of an engine or of its manifest names; the engine need not be built yet."""
    engine = Path(str(model or "").removesuffix(".json"))
    return engine if engine.suffix == ".engine" and manifest_path(engine).is_file() else None


def _read_onnx(file: Path) -> Inspection:
    read = read_onnx_file(file)
    contract = contract_of(read, source=str(file))
    return Inspection(
        model=title(file),
        file=str(file),
        size_bytes=read.size_bytes,
        weights_bytes=read.weights_bytes,
        external=read.external,
        contract=contract,
        int8_pairs=int8_pairs(file),
        checks=() if contract is None else check_onnx(read, contract),
    )


def _read_engine(file: Path) -> Inspection:
    manifest = read_manifest(file)
    return Inspection(
        model=title(file),
        file=str(file),
        size_bytes=file.stat().st_size if file.is_file() else None,
        manifest=manifest,
        int8_pairs=manifest.contract.int8_pairs,
        checks=check_engine(file, manifest),
    )


def _beside(file: Path) -> tuple[str, ...]:
    names = (each.name for each in file.parent.iterdir() if each.suffix in (".onnx", ".engine"))
    return tuple(sorted(name for name in names if name != file.name and not name.startswith(".")))
