"""Writing files so that a reader finds the old file or the whole new one; their hashes; what the system refuses."""

import errno
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
        raise WrongUse(f"expected a file, got the folder '{path}': choose another name")
    _try_writing(path.parent, path.name, shown=path)


def check_output(path: Path, suffix: str) -> None:
    """Refuse an output file of another format, or one that could not be written (`check_writable`).

    Args:
        path: The file.
        suffix: What its name must end in, such as `.html`.

    Raises:
        WrongUse: As said.
    """
    if path.suffix.lower() != suffix:
        raise WrongUse(f"expected a file name that ends in {suffix}, got '{path}': give '{path.with_suffix(suffix)}'")
    check_writable(path)


def check_folder(path: Path) -> None:
    """Refuse a folder that could not be made or written, before the work whose results go there.

    Raises:
        WrongUse: It is a file, or it cannot be made or written.
    """
    if path.exists() and not path.is_dir():
        raise WrongUse(f"expected a folder, got the file '{path}': choose another name")
    _try_writing(path, "trial", shown=path)


def refusal(error: OSError) -> str:
    """A refusal of the operating system in one line: which file, why, and what to do where that is known."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    place = f"'{error.filename}': " if error.filename else ""
    advice = _ADVICE.get(error.errno or 0)
    return f"{place}{reason}{f'; {advice}' if advice else ''}"


_WRITABLE = "choose a folder that this user can write to"
_SPACE = "free some space, or choose a folder on another disk"
_ADVICE = {
    errno.EACCES: "check its permissions, or " + _WRITABLE,
    errno.EPERM: "check its permissions, or " + _WRITABLE,
    errno.EROFS: _WRITABLE,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


def _try_writing(folder: Path, name: str, *, shown: Path) -> None:
    """Write and remove an empty file in a folder, or in the nearest above it that exists."""
    absolute = folder.absolute()
    nearest = next(each for each in (absolute, *absolute.parents) if each.exists())
    trial = _partial(nearest / name)
    try:
        trial.touch()
        trial.unlink()
    except OSError as error:
        raise WrongUse(f"cannot write {refusal(OSError(error.errno, error.strerror, str(shown)))}") from error


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")
