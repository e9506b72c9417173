"""What an edge device reads from an ONNX file without the onnx package: its metadata and its hashes.

An ONNX file is one protobuf message, `ModelProto` (onnx/onnx.proto). Only its outermost fields matter here, so
a walk over the wire format (protobuf.dev/programming-guides/encoding) is enough, and no device has to install
onnx and protobuf to learn whether a file arrived unharmed.
"""

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capsedge.errors import ModelError

REINSTALL = "pip install --force-reinstall --no-deps capsedge"
"""What brings back a file of ours that was damaged."""

_BUILTIN = Path(__file__).parent / "builtin"

# Field numbers of onnx.proto: ModelProto, GraphProto, TensorProto, StringStringEntryProto.
_GRAPH, _METADATA = 7, 14
_INITIALIZER = 5
_TENSOR_NAME = 8
_KEY, _VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


@dataclass(frozen=True)
class OnnxFile:
    """The metadata of an ONNX file and the SHA-256 of what it computes.

    Attributes:
        metadata: `metadata_props` as a dictionary.
        graph_sha256: Hash of everything but `metadata_props`: nodes, weights, opset, producer. A contract can
            thus hold the hash of the graph that carries it.
        weights_sha256: Hash of each initializer, by its name.
        size_bytes: Size of the whole file.
        weights_bytes: Bytes of the file that each initializer takes, by its name.
    """

    metadata: dict[str, str]
    graph_sha256: str
    weights_sha256: dict[str, str]
    size_bytes: int
    weights_bytes: dict[str, int]


def read_onnx_file(path: Path) -> OnnxFile:
    """Read the metadata and the hashes of an ONNX file.

    Raises:
        ModelError: The file is missing, or is not a whole ONNX file.
    """
    content = _read(path)
    metadata: dict[str, str] = {}
    weights: dict[str, memoryview] = {}
    graph = hashlib.sha256()
    has_graph = False
    try:
        for number, field, value in fields_of(content):
            if number == _METADATA:
                metadata |= _entry(value)
                continue
            graph.update(field)
            if number == _GRAPH:
                has_graph = True
                weights.update(_initializers(value))
    except ValueError as error:
        raise _not_whole(path, error) from error
    if not has_graph:
        raise _no_graph(path)
    return OnnxFile(
        metadata=metadata,
        graph_sha256=graph.hexdigest(),
        weights_sha256={name: hashlib.sha256(tensor).hexdigest() for name, tensor in weights.items()},
        size_bytes=len(content),
        weights_bytes={name: len(tensor) for name, tensor in weights.items()},
    )


def read_metadata(path: Path) -> dict[str, str]:
    """Read `metadata_props` alone: the graph is stepped over, so that a file of any size costs its few outer pages.

    Raises:
        ModelError: The file is missing, or is not a whole ONNX file.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    try:
        for number, _, value in fields_of(_mapped(path)):
            has_graph |= number == _GRAPH
            if number == _METADATA:
                metadata |= _entry(value)
    except ValueError as error:
        raise _not_whole(path, error) from error
    if not has_graph:
        raise _no_graph(path)
    return metadata


def _read(path: Path) -> memoryview:
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


def _not_whole(path: Path, error: ValueError) -> ModelError:
    again = f": {REINSTALL}" if path.parent == _BUILTIN else "; export or copy it again"
    return ModelError(f"'{path}' is not a whole ONNX file ({error}){again}")


def _no_graph(path: Path) -> ModelError:
    return ModelError(f"'{path}' is not an ONNX file: it holds no graph")


def _entry(message: memoryview) -> dict[str, str]:
    """One key and its value out of `metadata_props`."""
    entry = {field: bytes(text).decode() for field, _, text in fields_of(message)}
    return {entry.get(_KEY, ""): entry.get(_VALUE, "")}


def _initializers(graph: memoryview) -> Iterator[tuple[str, memoryview]]:
    for number, _, tensor in fields_of(graph):
        if number == _INITIALIZER:
            name = next((bytes(value).decode() for inner, _, value in fields_of(tensor) if inner == _TENSOR_NAME), "")
            yield name, tensor


def fields_of(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield (field number, the whole encoded field, its value) for each field of a protobuf message.

    Raises:
        ValueError: The bytes are not a protobuf message, or end too early.
    """
    position = 0
    while position < len(message):
        start = position
        key, position = read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            begin = position
            _, position = read_varint(message, position)
        elif wire_type == _BYTES:
            length, begin = read_varint(message, position)
            position = begin + length
        elif wire_type in (_FIXED64, _FIXED32):
            begin = position
            position += 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {start}")
        if number == 0:
            raise ValueError(f"field number 0 at byte {start}")
        if position > len(message):
            raise ValueError(f"it ends {position - len(message)} bytes too early")
        yield number, message[start:position], message[begin:position]


def read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read a protobuf number of variable length: gives it and the position behind it.

    Raises:
        ValueError: The message ends within it, or it has more than 64 bits.
    """
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("it ends within a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"a number of more than 64 bits at byte {position}")
