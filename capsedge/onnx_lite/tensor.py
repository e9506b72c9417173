"""The description of a tensor in an ONNX file: type, axes and location of the values."""

import math
from typing import NamedTuple

from capsedge.onnx_lite.schema import BY_CODE, BY_NAME, EntryField, TensorField
from capsedge.onnx_lite.wire import fields_of, read_integer, read_integers, read_text

_EXTERNAL = 1  # TensorProto.DataLocation


class Tensor(NamedTuple):
    """The type of a tensor, by its name in ONNX Runtime, and its axes."""

    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Size in bytes; types without a fixed size count as one byte for each element."""
        bits = BY_NAME[self.kind].bits if self.kind in BY_NAME else 8
        return -(-self.numbers * bits // 8)


class StoredTensor(NamedTuple):
    """A tensor in a file.

    Attributes:
        name: Name of the tensor; "" if it has none.
        tensor: Type and axes.
        external: File beside the model with the values (external data); None if they are in the model.
    """

    name: str
    tensor: Tensor
    external: str | None


def read_tensor(message: memoryview) -> StoredTensor:
    """Read a TensorProto without its values.

    Raises:
        ValueError: The message is damaged.
    """
    name, code, location = "", 0, 0
    shape: list[int] = []
    entries: dict[str, str] = {}
    for number, encoded, value in fields_of(message):
        if number == TensorField.DIMS:
            shape.extend(read_integers(encoded, value))
        elif number == TensorField.DATA_TYPE:
            code = read_integer(value)
        elif number == TensorField.NAME:
            name = read_text(value)
        elif number == TensorField.EXTERNAL_DATA:
            entries |= read_entry(value)
        elif number == TensorField.DATA_LOCATION:
            location = read_integer(value)
    kind = BY_CODE[code].name if code in BY_CODE else f"type {code}"
    external = entries.get("location", "") if location == _EXTERNAL else None
    return StoredTensor(name, Tensor(kind, tuple(shape)), external)


def read_entry(message: memoryview) -> dict[str, str]:
    """Read a StringStringEntryProto: one key and its value.

    Raises:
        ValueError: The message is damaged.
    """
    entry = {number: read_text(text) for number, _, text in fields_of(message)}
    return {entry.get(EntryField.KEY, ""): entry.get(EntryField.VALUE, "")}
