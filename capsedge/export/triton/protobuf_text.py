"""Writer of protobuf's text format, so that writing a configuration file needs no protobuf package.

The format: protobuf.dev/reference/protobuf/textformat-spec. The tests read it back with protobuf's parser.
"""

from collections.abc import Mapping, Sequence


class Symbol(str):
    """A word that is written without quotes: the value of an enum."""

    __slots__ = ()


Scalar = str | int | bool | Symbol
Message = Mapping[str, "Scalar | Message | Sequence[Scalar] | Sequence[Message]"]

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n"}


def protobuf_text(message: Message, indent: str = "") -> str:
    """Write a message, one field on each line.

    Args:
        message: Values by field name. A sequence is a repeated field; an entry of a map field is a message of `key`
            and `value`.
        indent: Prefix of each line.
    """
    return "".join(_field(name, value, indent) for name, value in message.items())


def _field(name: str, value: Scalar | Message | Sequence[Scalar] | Sequence[Message], indent: str) -> str:
    if isinstance(value, Mapping):
        return f"{indent}{name} {{\n{protobuf_text(value, indent + '  ')}{indent}}}\n"
    if isinstance(value, str | int):
        return f"{indent}{name}: {_scalar(value)}\n"
    scalars = [_scalar(each) for each in value if not isinstance(each, Mapping)]
    if scalars:
        return f"{indent}{name}: [{', '.join(scalars)}]\n"
    return "".join(_field(name, each, indent) for each in value)


def _scalar(value: Scalar) -> str:
    if isinstance(value, Symbol):
        return str(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else _quoted(value)


def _quoted(text: str) -> str:
    """A string in double quotes; UTF-8 bytes that are not printable ASCII are escaped as three octal digits."""
    return '"' + "".join(_ESCAPES.get(byte) or _character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
