"""The lock of a run's folder: one process at a time trains there, and others are told which.

The system locks the file `.lock` and releases it when the process ends; that the file exists is no lock. On a
file system without locks, filelock's fallback uses the file's existence, and the run of a killed process would stay
locked.
"""

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from capsedge.errors import ModelError, WrongUse

_PATIENCE_S = 0.3  # `trained_by` of another process holds the lock for less than a millisecond
_POLLING_S = 0.01


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from training in a folder.

    Raises:
        ModelError: Another process trains there; the text names it.
        WrongUse: The folder cannot be locked.
    """
    file = folder / ".lock"
    try:
        held = _acquired(file)
    except Timeout as error:
        raise ModelError(f"run '{folder}' is being trained by {_owner(file)}") from error
    except OSError as error:
        raise WrongUse(
            f"run '{folder}' cannot be locked ({error.strerror})",
            "choose a writable folder on a file system with locks, such as a local disk",
        ) from error
    with held:
        with suppress(OSError):  # the owner is only for a message, and not every system lets others read it
            file.write_text(f"{os.getpid()} {platform.node()}", encoding="utf-8")
        yield


def trained_by(folder: Path) -> str | None:
    """The process that trains in a folder now, such as `process 123`; "" for none, None if it cannot be told."""
    file = folder / ".lock"
    try:
        if file.exists():  # `_acquired` makes the file
            with _acquired(file):
                pass
    except Timeout:
        return _owner(file)
    except OSError:  # such as the run of another user
        return None
    return ""


def _acquired(file: Path) -> AbstractContextManager[object]:
    lock = FileLock(file, fallback_to_soft=False)
    return lock.acquire(timeout=_PATIENCE_S, poll_interval=_POLLING_S)


def _owner(file: Path) -> str:
    """The process that holds a lock, as far as the lock file says."""
    try:
        process, _, machine = file.read_text(encoding="utf-8").partition(" ")
    except (OSError, UnicodeDecodeError):
        process = machine = ""
    if not process.isdecimal():
        return "another process"
    return f"process {process}" if machine == platform.node() else f"process {process} on {machine}"
