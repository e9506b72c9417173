"""Folders that appear whole or not at all, and replace only what capsedge wrote: a server may be reading beside."""

import hashlib
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capsedge.errors import WrongUse
from capsedge.version import __version__

# After `# ` in Triton's configuration, and in a comment of a page.
_MARK = re.compile(
    r"(?:# |<!doctype html>\n<!-- )Written by capsedge \S+ \(sha256 of the rest: ([0-9a-f]{64})\)(?: -->)?\n"
)


@contextmanager
def taking_place(folder: Path, name: str, main: str, others: tuple[str, ...]) -> Iterator[Path]:
    """Yield an empty folder, which then becomes `folder/name` in one step.

    Args:
        folder: Created if it is missing.
        name: A folder in it. One that capsedge wrote before is replaced, unless it was edited since.
        main: Name of the file with the mark (`marked`).
        others: Names of the other files and folders that are written.

    Raises:
        WrongUse: Files or edits would be lost, or the folder is a file or a mount point.
    """
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=_beside(folder)) as staging:
        made = Path(staging, "new")
        made.mkdir()
        yield made
        _replace_folder(made, folder / name, Path(staging, "old"), main, others)


def marked(text: str, before: str, after: str = "") -> str:
    """A text after a first line with a hash that detects edits.

    Args:
        text: The text.
        before: What starts the line, such as `# `.
        after: What ends it.
    """
    return f"{before}Written by capsedge {__version__} (sha256 of the rest: {_sha256(text)}){after}\n{text}"


def _beside(folder: Path) -> Path:
    """The folder for the staging folder: outside of the given one, where a server takes every folder for a model."""
    if folder.exists() and not folder.is_dir():
        raise WrongUse(f"expected a folder, got the file '{folder}': choose another name")
    folder.mkdir(parents=True, exist_ok=True)
    parent = folder.resolve().parent
    if parent.stat().st_dev != folder.stat().st_dev:
        raise WrongUse(
            f"'{folder}' is a mount point, to which nothing can be moved in one step: give a folder inside of it"
        )
    return parent


def _replace_folder(made: Path, target: Path, aside: Path, main: str, others: tuple[str, ...]) -> None:
    """Move a folder to its place, instead of one that capsedge wrote before."""
    if not target.exists():
        made.rename(target)
        return
    if not target.is_dir() or any(target.iterdir()):
        _refuse_to_lose(target, main, others)
    target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _refuse_to_lose(target: Path, main: str, others: tuple[str, ...]) -> None:
    """Refuse to replace a folder that capsedge did not write, or that was changed since.

    Raises:
        WrongUse: Files or edits would be lost.
    """
    file = target / main
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    mark = _MARK.match(text)
    if mark is None:
        lost = f"'{target}' exists and was not written by capsedge"
    elif _sha256(text[mark.end() :]) != mark[1]:
        lost = f"'{file}' was edited since capsedge wrote it"
    elif more := sorted(each.name for each in target.iterdir() if each.name not in (main, *others)):
        lost = f"'{target}' also has {', '.join(more)}"
    else:
        return
    raise WrongUse(f"{lost}: move it away, or give another folder")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
