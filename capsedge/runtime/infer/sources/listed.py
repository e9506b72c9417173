"""A list of paths, one per line, or each followed by a NUL byte as `find -print0` writes them."""

import codecs
import os
from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from typing import Protocol

_CHUNK_BYTES = 1 << 16
_NUL = b"\0"


class Readable(Protocol):
    """A binary stream whose `read` returns the bytes that have arrived."""

    def read(self, size: int, /) -> bytes | None:
        """Give 1 to `size` bytes, or none at the end."""


def paths_in(stream: Readable) -> Iterator[Path]:
    """Read paths as they arrive; empty lines are skipped, and no character in a line is special.

    The separator is NUL if the text up to the end of the first path contains one, else the line end.
    """
    text, separator, start = b"", b"", codecs.BOM_UTF8
    while chunk := stream.read(_CHUNK_BYTES):
        text += chunk
        separator = separator or _separator(text)
        if separator:
            if separator != _NUL:  # editors write a mark before lines; paths between NUL bytes are taken as they are
                text = text.removeprefix(start)
            start = b""
            *whole, text = text.split(separator)
            yield from _paths(whole, separator)
    yield from _paths([text.removeprefix(start)], separator)


def open_list(name: str) -> RawIOBase:
    """Open a list by its path, `-` for standard input.

    Unbuffered, so that a line is read as soon as it arrives.

    Raises:
        OSError: The file cannot be opened.
    """
    return open(0 if name == "-" else name, "rb", buffering=0, closefd=name != "-")


def _separator(text: bytes) -> bytes:
    if _NUL in text:
        return _NUL
    return b"\n" if b"\n" in text else b""


def _paths(lines: list[bytes], separator: bytes) -> Iterator[Path]:
    for line in lines:
        path = line if separator == _NUL else line.removesuffix(b"\r")
        if path:
            yield Path(os.fsdecode(path))
