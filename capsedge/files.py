"""Files: atomic writing, hashes, checks of paths before work begins, and texts for errors of the operating system."""

import errno
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

from capsedge.errors import CapsedgeError, WrongUse
from capsedge.outside import encodable

RUN_FILE = "run.json"  # in the folder of a run

# Temporary files of `replacing`: .PID.RANDOM.part, without the final name, which may be as long as the system allows
_LEFTOVER = re.compile(r"\.(\d+)\.[0-9a-f]{12}\.part")
_SURELY_LEFT_SECONDS = 3600.0  # a younger file may be a write on another machine, where the process is alive


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it is renamed to `path`, on failure removed.

    Where `path` is a link, the file that it names is replaced. The new file gets the permissions of the old one.

    The temporary file is flushed to the disk before the rename, so that `path` is the old or the new file after a
    power cut. Its name cannot be predicted, so that no link can be placed there before.
    """
    target = _target(path)
    with created(target.parent), naming(path):
        _clear_leftovers(target.parent)
        partial = _partial(target.parent)
        try:
            yield partial
            with _opened(partial, "rb+") as file:
                _permit(file.fileno(), like=target)
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError as error:
            if error.filename == str(partial):  # the user knows only the final name
                raise OSError(error.errno, error.strerror, str(path)) from error
            raise
        finally:
            with suppress(OSError):  # an error here must not hide the first one
                partial.unlink(missing_ok=True)


@contextmanager
def created(folder: Path) -> Iterator[None]:
    """Create a folder and its parents; on failure those that were created here are removed, if they are empty."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for each in missing:
            with suppress(OSError):
                each.rmdir()
        raise


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add the path to an error of writing, which unlike one of opening does not name its file."""
    try:
        yield
    except OSError as error:
        if error.errno in _WRITING and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write `content` to `path` in one step (see `replacing`)."""
    with replacing(path) as partial, _opened(partial, "xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def is_file(path: Path) -> bool:
    """Whether a file exists; a name that is too long for the system names none."""
    try:
        return path.is_file()
    except OSError:
        return False


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def check_writable(path: Path) -> None:
    """Check that `write_atomically` can write a path, before the work for its content begins.

    Raises:
        WrongUse: It is a folder, or its folder cannot be created or written.
    """
    with _refusing(path):
        if path.is_dir():
            raise WrongUse(f"expected a file, got the folder '{path}'", "choose another name")
        target = _target(path)
        _try_writing(target.parent)
        with suppress(FileNotFoundError):
            target.lstat()  # fails if the name is too long


def page_mark(command: str) -> str:
    """What a page has in its head, by which the command that wrote it may replace it."""
    return f'<meta name="generator" content="capsedge {command}">'


def check_replaceable(path: Path, mark: str, command: str) -> None:
    """Refuse to replace a file that another program, another command or a person wrote.

    Args:
        path: The file; one that does not exist or is empty passes.
        mark: Text in every file that the command writes in this format.
        command: The command, for the error.

    Raises:
        WrongUse: It has another content, or cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return
    try:
        ours = mark.encode() in path.read_bytes()
    except OSError:
        ours = False
    if not ours:
        raise WrongUse(
            f"'{path}' exists and was not written by capsedge {command}", "move it away, or choose another name"
        )


def check_output(path: Path, suffix: str, *, mark: str = "", command: str = "") -> None:
    """Check the suffix of an output file, that it can be written, and that what is there may be replaced.

    Args:
        path: The file.
        suffix: Suffix that the name must have, such as `.html`.
        mark: As for `check_replaceable`; "" if it is checked elsewhere.
        command: As for `check_replaceable`.

    Raises:
        WrongUse: The suffix is another one, or the file cannot be written or replaced.
    """
    if path.suffix.lower() != suffix:
        raise WrongUse(
            f"expected a file name that ends in {suffix}, got '{path}'", f"give '{path.with_suffix(suffix)}'"
        )
    check_writable(path)
    if mark:
        check_replaceable(path, mark, command)


def check_folder(path: Path) -> None:
    """Check that a folder can be created and written, before the work for its content begins.

    Raises:
        WrongUse: It is a file, or it cannot be created or written.
    """
    with _refusing(path):
        if path.exists() and not path.is_dir():
            raise WrongUse(f"expected a folder, got the file '{path}'", "choose another name")
        _try_writing(path)
        with suppress(FileNotFoundError):
            path.lstat()


def check_output_folder(path: Path) -> None:
    """As `check_folder`, for output that is no run: it must not get among the files of one.

    Raises:
        WrongUse: It is a file or the folder of a run, or it cannot be created or written.
    """
    if is_file(path / RUN_FILE):
        raise WrongUse(f"'{path}' is the folder of a run", "give another folder")
    check_folder(path)


def check_utf8(path: Path) -> None:
    """Refuse a path that records in UTF-8 could not hold.

    Raises:
        WrongUse: It has bytes that are not UTF-8.
    """
    if (shown := encodable(str(path))) != str(path):
        raise WrongUse(f"expected a path in UTF-8, got '{shown}'", "rename it, or choose another")


def expanded(path: str) -> Path:
    """A path with `~` and `~user` replaced by the home folder.

    Raises:
        WrongUse: It is empty, or there is no such user.
    """
    if not path:
        raise WrongUse("expected a name or a path, got an empty text")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise WrongUse(
            f"'{path}' names the home folder of a user who does not exist", f"give the whole path, or './{path}'"
        ) from error


def refusal(error: OSError) -> CapsedgeError:
    """An error of the operating system as one of capsedge: the file, the reason, and what to do if that is known."""
    reason = (error.strerror or str(error) or type(error).__name__).lower()
    place = f"'{error.filename}': " if error.filename else ""
    advice = _ADVICE.get(error.errno or 0, "")
    return CapsedgeError(f"{place}{reason}", advice, code="system")


_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_WRITABLE = "choose a folder that this user can write to"
_PERMISSIONS = "check its permissions"
FULL = (errno.ENOSPC, errno.EDQUOT)
_SPACE = "free some space, or choose a folder on another disk"
_ADVICE = {
    errno.EACCES: _PERMISSIONS,
    errno.EPERM: _PERMISSIONS,
    errno.EROFS: _WRITABLE,
    **dict.fromkeys(FULL, _SPACE),
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Make an error of the system wrong use: the path cannot be written."""
    try:
        yield
    except OSError as error:
        refused = refusal(OSError(error.errno, error.strerror, str(path)))
        elsewhere = f", or {_WRITABLE}" if error.errno in (errno.EACCES, errno.EPERM) else ""
        raise WrongUse(f"cannot write {refused.text}", f"{refused.advice}{elsewhere}") from error


def _try_writing(folder: Path) -> None:
    """Write and remove an empty file in a folder, or in its nearest parent that exists."""
    absolute = folder.absolute()
    trial = _partial(next(each for each in (absolute, *absolute.parents) if each.exists()))
    _opened(trial, "xb").close()
    trial.unlink()


def _target(path: Path) -> Path:
    """The file that a link names, or the path itself; a link in a circle is taken for a file."""
    return Path(os.path.realpath(path))


def _permit(file: int, *, like: Path) -> None:
    """Give an open file the permissions and, if this user may, the owner of a file that it replaces."""
    with suppress(OSError):  # there is none, or the file system has no permissions
        old = like.stat()
        if hasattr(os, "fchmod"):  # Windows has it since Python 3.13, and no fchown
            os.fchmod(file, stat.S_IMODE(old.st_mode) & 0o777)
        if hasattr(os, "fchown") and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
            os.fchown(file, old.st_uid, old.st_gid)


def _partial(folder: Path) -> Path:
    return folder / f".{os.getpid()}.{os.urandom(6).hex()}.part"


def _opened(path: Path, mode: str) -> BinaryIO:
    """Open a file, but not through a link."""

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)  # Windows has no such flag

    return open(path, mode, opener=opener)  # type: ignore[return-value]


@cache  # once for each folder, which may get thousands of files
def _clear_leftovers(folder: Path) -> None:
    """Remove temporary files of this user's killed processes from a folder."""
    if os.name != "posix":  # Windows has no test for a process that leaves it alone
        return
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _LEFTOVER.fullmatch(entry.name)
            if match and _is_abandoned(entry.stat(follow_symlinks=False)) and not _is_alive(int(match[1])):
                with suppress(OSError):
                    Path(entry.path).unlink()


def _is_abandoned(found: os.stat_result) -> bool:
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_uid == os.geteuid()
        and time.time() - found.st_mtime > _SURELY_LEFT_SECONDS
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # alive and another user's, or no number of a process
        return True
    return True
