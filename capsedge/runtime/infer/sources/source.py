"""The source of one image: its name, and where its bytes are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from capsedge.errors import DataError
from capsedge.outside import distinct

if TYPE_CHECKING:
    from PIL import Image

STDIN = Path("-")
_MOST_CALLED = 200


class ImageSource(Protocol):
    """An image that was found and is not read yet."""

    @property
    def name(self) -> str:
        """Its name as printable text."""

    def read(self) -> "Path | bytes | Image.Image":
        """Give the path of a file, the bytes of a file, or a decoded image.

        Raises:
            DataError: It cannot be read.
        """


class File(msgspec.Struct, frozen=True):
    """A file, which may be missing."""

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
        content: The bytes; None before they are read.
    """

    content: bytes | None = None

    @property
    def name(self) -> str:
        """`-`, as on the command line."""
        return str(STDIN)

    def read(self) -> bytes:
        """See `ImageSource.read`."""
        return sys.stdin.buffer.read() if self.content is None else self.content

    def read_now(self) -> "Stdin":
        """Read all bytes now, in the calling thread.

        Ctrl-C can interrupt only a wait in the main thread, not in a thread that waits for standard input.
        """
        return Stdin(self.read())


class Given(msgspec.Struct, frozen=True):
    """An image that a caller passes in memory or by path.

    Attributes:
        name: Its name.
        content: The path of a file, its bytes, or a Pillow image.
    """

    name: str
    content: Any

    def read(self) -> "Path | bytes | Image.Image":
        """See `ImageSource.read`."""
        content: Path | bytes | Image.Image = self.content
        return content


class Unreadable(msgspec.Struct, frozen=True):
    """A path that holds no readable images; reported like a broken image.

    Attributes:
        path: The path.
        reason: The error message.
    """

    path: Path
    reason: str

    @property
    def name(self) -> str:
        """Its path."""
        return shown(self.path)

    def read(self) -> Path:
        """Raise the error.

        Raises:
            DataError: Always.
        """
        raise DataError(self.reason)


def called(path: str | Path) -> str:
    """A path for an error message, shortened in the middle where it is very long."""
    text = str(path)
    return text if len(text) <= _MOST_CALLED else f"{text[: _MOST_CALLED // 2]}…{text[-_MOST_CALLED // 2 :]}"


def shown(path: str | Path) -> str:
    """A path as text for JSON, a different one for each path, also where its bytes are not UTF-8."""
    return distinct(str(path))
