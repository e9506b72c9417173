"""One image to come: its name for people, and where its bytes are."""

import os
import sys
from pathlib import Path
from typing import Protocol

import msgspec

from capsedge.errors import DataError

STDIN = Path("-")


class Source(Protocol):
    """An image that was found and is not read yet."""

    @property
    def name(self) -> str:
        """What to call it, as text that can be printed."""

    def read(self) -> Path | bytes:
        """Give the file, or the bytes of one.

        Raises:
            DataError: There are none.
        """


class File(msgspec.Struct, frozen=True):
    """A file, which may not be there."""

    path: Path

    @property
    def name(self) -> str:
        """Its path."""
        return shown(self.path)

    def read(self) -> Path:
        """See `Source.read`."""
        return self.path


class Stdin(msgspec.Struct, frozen=True):
    """The bytes on standard input."""

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return str(STDIN)

    def read(self) -> bytes:
        """See `Source.read`."""
        return sys.stdin.buffer.read()


class Unreadable(msgspec.Struct, frozen=True):
    """A place that was expected to hold images and does not: reported like a broken image.

    Attributes:
        path: The place.
        reason: The whole line for the user.
    """

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """Its path."""
        return shown(self.path)

    def read(self) -> Path:
        """Say why.

        Raises:
            DataError: Always.
        """
        raise DataError(self.reason)


def shown(path: str | Path) -> str:
    """A path as text that can be printed, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")
