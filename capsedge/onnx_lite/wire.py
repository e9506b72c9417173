"""Reading and writing protobuf's wire format: fields, integers and texts.

The format: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

MOST_FIELDS = 1_000_000
"""Limit of the fields of one message, far above any edge model. A file of empty fields would take minutes to read."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def fields_of(message: memoryview) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield (field number, the whole encoded field, its value) for each field of a protobuf message.

    Raises:
        ValueError: The bytes are not a protobuf message, end too early, or have more fields than `MOST_FIELDS`.
    """
    position, end, count = 0, len(message), 0
    while position < end:
        start = position
        if count == MOST_FIELDS:
            raise ValueError(f"more than {MOST_FIELDS:,} fields in one message")
        count += 1
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
        if position > end:
            raise ValueError(f"it ends {position - end} bytes too early")
        yield number, message[start:position], message[begin:position]


def read_varint(message: memoryview, position: int) -> tuple[int, int]:
    """Read an unsigned integer of variable length; returns it and the position after it.

    Raises:
        ValueError: The message ends within the number, or the number has more than 64 bits.
    """
    if position < len(message) and message[position] < 0x80:  # fast path for one byte, by far the most common case
        return message[position], position + 1
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


def read_integer(value: memoryview) -> int:
    """Read the value of an integer field: 64 bits in two's complement."""
    return _signed(read_varint(value, 0)[0])


def read_integers(encoded: memoryview, value: memoryview) -> list[int]:
    """Read one integer of a repeated field, or several if they are packed (wire type 2)."""
    if encoded[0] & 7 == _VARINT:
        return [read_integer(value)]
    numbers = []
    position = 0
    while position < len(value):
        number, position = read_varint(value, position)
        numbers.append(_signed(number))
    return numbers


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def read_text(value: memoryview) -> str:
    """Read the value of a text field.

    Raises:
        ValueError: The text is not UTF-8.
    """
    return bytes(value).decode()


def integer_field(field: int, value: int) -> bytes:
    """Encode a field with an integer of 0 or more."""
    return _varint(field << 3 | _VARINT) + _varint(value)


def bytes_field(field: int, content: bytes) -> bytes:
    """Encode a field with a message or bytes."""
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def text_field(field: int, text: str) -> bytes:
    """Encode a field with a text."""
    return bytes_field(field, text.encode())


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
