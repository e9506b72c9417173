"""Writing protobuf's text format, so that a configuration file needs no protobuf on the machine that writes it.

The format: protobuf.dev/reference/protobuf/textformat-spec. The tests hold it against protobuf's own parser.
"""

from collections.abc import Mapping, Sequence


class Symbol(str):
    """A word that stands without quotes: the value of an enum."""

    __slots__ = ()


Scalar = str | int | bool | Symbol
Message = Mapping[str, "Scalar | Message | Sequence[Scalar] | Sequence[Message]"]

_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n"}


def protobuf_text(message: Message, indent: str = "") -> str:
    """Write a message, one field a line.

    Args:
        message: Values by the names of their fields. A sequence is a repeated field; an entry of a map field is a
            message of `key` and `value`.
        indent: What each line begins with.
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
    """A string in double quotes; the bytes of its UTF-8 that are not printable ASCII in octal, always of 3 digits."""
    return '"' + "".join(_ESCAPES.get(byte) or _character(byte) for byte in text.encode()) + '"'


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
