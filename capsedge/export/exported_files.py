"""The files of an export, recognized by their content: ONNX files, engines, and a card with its weights.

It needs no torch, no onnx and no safetensors.
"""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from capsedge.contract import METADATA_KEY, Contract, decode
from capsedge.errors import ModelError
from capsedge.onnx_lite.file import read_metadata
from capsedge.runtime.tensorrt.manifest import kernels_path, manifest_path, read_manifest

CARD_SUFFIX = ".card.md"
# The metadata of a card's weights; of several keys the order would change.
CARD_MARK = {"written_by": "capsedge export --card"}

_LARGEST_HEAD = 100_000_000  # bytes; the limit of safetensors itself


def exported_among(files: Iterable[Path]) -> set[str]:
    """Names of the files that an export wrote, and of those that belong to one of them by name."""
    found = set()
    for file in files:
        if file.is_file():
            found |= _exported_with(file)
    return found


def classes_of(model: Path) -> tuple[str, ...] | None:
    """The class names of an exported ONNX file; None where its contract cannot be read."""
    with suppress(ModelError, KeyError):
        return decode(read_metadata(model)[METADATA_KEY], Contract, source=str(model)).classes
    return None


def is_of_a_card(weights: Path) -> bool:
    """Whether a file has the weights that were written with a card."""
    with suppress(OSError, ValueError, RecursionError), weights.open("rb") as content:
        size = int.from_bytes(content.read(8), "little")
        if size <= _LARGEST_HEAD:
            head = json.loads(content.read(size))
            return isinstance(head, dict) and head.get("__metadata__") == CARD_MARK
    return False


def _exported_with(file: Path) -> set[str]:
    if file.name.endswith((".onnx", ".onnx.rejected")) and _has_contract(file):
        return {file.name, f"{file.name}.json"} if file.suffix == ".rejected" else {file.name}
    engine = file.with_suffix("")
    if engine.suffix == ".engine" and file == manifest_path(engine) and _is_manifest_of(engine):
        return {file.name, engine.name, kernels_path(engine).name}
    if file.suffix == ".safetensors" and is_of_a_card(file):
        return {file.name, f"{file.stem}{CARD_SUFFIX}"}
    return set()


def _has_contract(file: Path) -> bool:
    with suppress(ModelError):
        return METADATA_KEY in read_metadata(file)
    return False


def _is_manifest_of(engine: Path) -> bool:
    with suppress(ModelError):
        read_manifest(engine)
        return True
    return False
