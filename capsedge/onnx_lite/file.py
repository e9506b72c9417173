"""The metadata and the hashes of an ONNX file; the hashes show whether the file is damaged."""

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capsedge.errors import ModelError
from capsedge.onnx_lite.schema import GraphField, ModelField
from capsedge.onnx_lite.tensor import StoredTensor, read_entry, read_tensor
from capsedge.onnx_lite.wire import fields_of

REINSTALL = "install capsedge again, in a checkout by pip install --force-reinstall --no-deps ."
"""Advice that restores a damaged file of the package."""

_BUILTIN = Path(__file__).parents[1] / "builtin"


@dataclass(frozen=True)
class OnnxFile:
    """The metadata of an ONNX file, and the SHA-256 of its graph and weights.

    Attributes:
        metadata: `metadata_props` as a dictionary.
        graph_sha256: Hash of everything except `metadata_props`: nodes, weights, opset, producer. So the metadata can
            contain the hash of the graph.
        weights_sha256: Hash of each initializer, by name.
        size_bytes: Size of the file.
        weights_bytes: Bytes of each initializer, by name, in this file or in its external data.
        external: Names of the files with external data, sorted. Their bytes are not hashed.
    """

    metadata: dict[str, str]
    graph_sha256: str
    weights_sha256: dict[str, str]
    size_bytes: int
    weights_bytes: dict[str, int]
    external: tuple[str, ...] = ()


def read_onnx_file(path: Path) -> OnnxFile:
    """Read the metadata and the hashes of an ONNX file.

    Raises:
        ModelError: The file is missing, or is not a complete ONNX file.
    """
    content = read_content(path)
    metadata: dict[str, str] = {}
    weights: list[tuple[StoredTensor, memoryview]] = []
    graph = hashlib.sha256()
    has_graph = False
    try:
        for number, field, value in fields_of(content):
            if number == ModelField.METADATA:
                metadata |= read_entry(value)
                continue
            graph.update(field)
            if number == ModelField.GRAPH:
                has_graph = True
                weights.extend(_initializers(value))
    except ValueError as error:
        raise not_whole(path, error) from error
    if not has_graph:
        raise no_graph(path)
    return OnnxFile(
        metadata=metadata,
        graph_sha256=graph.hexdigest(),
        weights_sha256={stored.name: hashlib.sha256(encoded).hexdigest() for stored, encoded in weights},
        size_bytes=len(content),
        weights_bytes={
            stored.name: len(encoded) if stored.external is None else stored.tensor.size_bytes
            for stored, encoded in weights
        },
        external=tuple(sorted({stored.external for stored, _ in weights if stored.external is not None})),
    )


def read_metadata(path: Path) -> dict[str, str]:
    """Read only `metadata_props`: the graph is skipped, so that only a few pages of a large file are read.

    Raises:
        ModelError: The file is missing, or is not a complete ONNX file.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    try:
        for number, _, value in fields_of(_mapped(path)):
            has_graph |= number == ModelField.GRAPH
            if number == ModelField.METADATA:
                metadata |= read_entry(value)
    except ValueError as error:
        raise not_whole(path, error) from error
    if not has_graph:
        raise no_graph(path)
    return metadata


def read_content(path: Path) -> memoryview:
    """The bytes of a file.

    Raises:
        ModelError: The file is missing or cannot be read.
    """
    with _readable(path):
        return memoryview(path.read_bytes())


def _mapped(path: Path) -> memoryview:
    with _readable(path), path.open("rb") as file:
        whole = path.stat().st_size > 0  # an empty file cannot be mapped
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if whole else b"")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(f"there is no model at '{path}'") from error
    except OSError as error:
        raise ModelError(f"'{path}' cannot be read as a model: {error.strerror}") from error


def not_whole(path: Path, error: Exception) -> ModelError:
    """The error for a file that is not a complete protobuf message."""
    again = REINSTALL if path.parent == _BUILTIN else "export or copy it again"
    return ModelError(f"'{path}' is not a whole ONNX file ({error})", again)


def no_graph(path: Path) -> ModelError:
    """The error for a protobuf message that is not a model."""
    return ModelError(f"'{path}' is not an ONNX file: it holds no graph")


def _initializers(graph: memoryview) -> Iterator[tuple[StoredTensor, memoryview]]:
    for number, _, encoded in fields_of(graph):
        if number == GraphField.INITIALIZER:
            yield read_tensor(encoded), encoded
