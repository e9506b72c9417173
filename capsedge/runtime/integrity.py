"""Comparing a file's hashes with those in its contract; nothing is run."""

import hashlib
from pathlib import Path

import msgspec

from capsedge.contract import Contract, EngineManifest, seal_holds
from capsedge.onnx_lite.file import OnnxFile
from capsedge.plural import number_of


class Check(msgspec.Struct, frozen=True):
    """Result of comparing one hash.

    Attributes:
        what: `contract`, `graph` (which holds the weights) or `engine`.
        holds: Whether it equals the recorded hash; None where none was recorded.
        said: The result in words.
    """

    what: str
    holds: bool | None
    said: str


def check_onnx(file: OnnxFile, contract: Contract) -> tuple[Check, ...]:
    """Compare an ONNX file's contract and graph with the hashes recorded at its export."""
    sealed, same = seal_holds(file), file.graph_sha256 == contract.graph_sha256
    return (
        Check("contract", sealed, "as it was sealed" if sealed else "its contract was altered"),
        Check(
            "graph",
            same,
            f"with its {number_of(len(contract.weights_sha256), 'weight')} as exported"
            if same
            else _change(file, contract),
        ),
    )


def check_engine(file: Path, manifest: EngineManifest) -> tuple[Check, ...]:
    """Compare an engine with the hash in its manifest; a manifest for a build on another machine has none."""
    if manifest.deferred:
        return (Check("engine", None, "its manifest was written before it was built, so no hash is known"),)
    if not file.is_file():
        return (Check("engine", False, "its manifest is there, but the engine is missing"),)
    same = hashlib.sha256(file.read_bytes()).hexdigest() == manifest.engine_sha256
    return (Check("engine", same, "as it was built" if same else "it is not the engine that its manifest describes"),)


def altered_weights(file: OnnxFile, contract: Contract) -> tuple[str, ...]:
    """Names of the weights that differ from the contract's, are missing or were added."""
    names = file.weights_sha256.keys() | contract.weights_sha256.keys()
    return tuple(sorted(name for name in names if file.weights_sha256.get(name) != contract.weights_sha256.get(name)))


def _change(file: OnnxFile, contract: Contract) -> str:
    names = altered_weights(file, contract)
    return f"its weights {', '.join(names)} were altered" if names else "its graph was altered, its weights were not"
