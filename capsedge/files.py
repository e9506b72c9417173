"""Writing files so that a reader finds the old file or the whole new one, never a half; and their hashes."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from capsedge.errors import WrongUse


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes `path`'s place, on failure it is removed.

    The temporary file is flushed to the disk before the rename, so that a power cut leaves one of the two.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.filename == str(partial):  # the user knows the other name
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        with suppress(OSError):  # which must not hide the error that led here
            partial.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` in one step (see `replacing`)."""
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check_writable(path: Path) -> None:
    """Refuse a path that `write_atomically` could not write, before the work whose result goes there.

    Raises:
        WrongUse: It is a folder, or its folder cannot be made or written.
    """
    if path.is_dir():
        raise WrongUse(f"'{path}' is a folder, and a file is to be written there: choose another name")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    trial = _partial(nearest / path.name)
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise WrongUse(f"'{path}' cannot be written ({error.strerror}): choose another place") from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
