"""The folder of a file that the gate judges, beside its output; folders of exports that were killed are removed."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

_PREFIX = ".candidate-"
_LOCK = ".lock"
_ATTEMPTS = 10


@contextmanager
def candidate_folder(beside: Path) -> Iterator[Path]:
    """Make a folder in the output's folder, from which the file is moved on one disk, and remove it at the end.

    The export holds a lock in it, which the operating system releases when the process ends. So another export, in
    whatever container or on whatever machine, removes the folder only if this export was killed.

    Args:
        beside: The output's folder; it is made if it is missing.
    """
    beside.mkdir(parents=True, exist_ok=True)
    for other in beside.glob(f"{_PREFIX}*/{_LOCK}"):
        _remove_unlocked(other)
    folder, lock = _locked_folder(beside)
    try:
        yield folder
    finally:
        if lock is not None:
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(beside: Path) -> tuple[Path, BaseFileLock | None]:
    """A new folder with its lock; None on a file system without locks, where no export removes another's folder."""
    for _ in range(_ATTEMPTS):
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=beside))
        lock = FileLock(folder / _LOCK, fallback_to_soft=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:  # another export found it before it was locked, and removes it
            continue
        except OSError:
            break
        return folder, lock
    return folder, None


def _remove_unlocked(lock: Path) -> None:
    """Remove a folder whose lock is free."""
    with suppress(Timeout, OSError):
        with FileLock(lock, fallback_to_soft=False).acquire(blocking=False):
            shutil.rmtree(lock.parent, ignore_errors=True)
        shutil.rmtree(lock.parent, ignore_errors=True)  # Windows keeps a locked file
