"""What an ONNX file says of a tensor: its type, its axes, and where its values are."""

import math
from typing import NamedTuple

from capsedge.onnx_lite.schema import BY_CODE, BY_NAME, EntryField, TensorField
from capsedge.onnx_lite.wire import fields_of, read_integer, read_integers, read_text

_EXTERNAL = 1  # TensorProto.DataLocation


class Tensor(NamedTuple):
    """What is known of a tensor: the name of its type, as ONNX Runtime writes it, and its axes."""

    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes it takes; types without a fixed size count as one byte for each number."""
        bits = BY_NAME[self.kind].bits if self.kind in BY_NAME else 8
        return -(-self.numbers * bits // 8)


class StoredTensor(NamedTuple):
    """A tensor in a file.

    Attributes:
        name: Its name, or "".
        tensor: Its type and axes.
        external: The file beside the model that holds its values (external data); None where the model does.
    """

    name: str
    tensor: Tensor
    external: str | None


def read_tensor(message: memoryview) -> StoredTensor:
    """Read a TensorProto without its values.

    Raises:
        ValueError: It is damaged.
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
        ValueError: It is damaged.
    """
    entry = {number: read_text(text) for number, _, text in fields_of(message)}
    return {entry.get(EntryField.KEY, ""): entry.get(EntryField.VALUE, "")}
