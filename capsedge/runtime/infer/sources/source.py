"""One image to come: its name for people, and where its bytes are."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from capsedge.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

STDIN = Path("-")
_MOST_CALLED = 200


class ImageSource(Protocol):
    """An image that was found and is not read yet."""

    @property
    def name(self) -> str:
        """What to call it, as text that can be printed."""

    def read(self) -> "Path | bytes | Image.Image":
        """Give the file, the bytes of one, or what was decoded of one.

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
        """See `ImageSource.read`."""
        return self.path


class Stdin(msgspec.Struct, frozen=True):
    """The bytes on standard input.

    Attributes:
        content: What was there; None before it was read.
    """

    content: bytes | None = None

    @property
    def name(self) -> str:
        """As it is written on the command line."""
        return str(STDIN)

    def read(self) -> bytes:
        """See `ImageSource.read`."""
        return sys.stdin.buffer.read() if self.content is None else self.content

    def read_now(self) -> "Stdin":
        """Wait for the bytes, here and now.

        Only where the main thread waits can Ctrl-C end it: no other thread can be stopped while standard input is
        silent.
        """
        return Stdin(self.read())


class Given(msgspec.Struct, frozen=True):
    """An image that a caller has in hand.

    Attributes:
        name: What to call it.
        content: A file's path, its bytes, or a Pillow image.
    """

    name: str
    content: Any

    def read(self) -> "Path | bytes | Image.Image":
        """See `ImageSource.read`."""
        content: Path | bytes | Image.Image = self.content
        return content


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


def called(path: str | Path) -> str:
    """A path for an error's line: in the middle of one that is too long for any file, most is left out."""
    text = str(path)
    return text if len(text) <= _MOST_CALLED else f"{text[: _MOST_CALLED // 2]}…{text[-_MOST_CALLED // 2 :]}"


def shown(path: str | Path) -> str:
    """A path as text that can be printed, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", errors="replace")
