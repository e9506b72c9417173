"""Folders that appear whole or not at all, and replace only what capsedge wrote: a server may be reading beside.

A folder can hold several exports: a model for Triton, a page, and ONNX files with their card. Each replaces its own
files only.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from capsedge.errors import WrongUse
from capsedge.export.exported_files import classes_of, exported_among
from capsedge.files import FULL, RUN_FILE, created, is_file, naming
from capsedge.plural import quoted
from capsedge.run_record import is_run
from capsedge.version import __version__

# After `# ` in Triton's configuration, and in a comment of a page.
_MARK = re.compile(
    r"(?:# |<!doctype html>\n<!-- )Written by capsedge \S+ "
    r"\((?:of ([0-9a-f]{12}), )?sha256 of the rest: ([0-9a-f]{64})\)(?: -->)?\n"
)


@dataclass(frozen=True)
class Kind:
    """What an export writes into a folder.

    Attributes:
        main: Name of the file with the mark (`marked`).
        others: Names of the other files and folders.
    """

    main: str
    others: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All names."""
        return (self.main, *self.others)


TRITON = Kind("config.pbtxt", ("labels.txt", "1"))
PAGE = Kind("index.html", ("webgpu.js",))
_KINDS = (TRITON, PAGE)


def subject_of(classes: Sequence[str], data: str) -> str:
    """Twelve hexadecimal digits that tell apart the networks of two runs that have one name.

    Args:
        classes: Class names in the order of the outputs.
        data: Description of the training's images, `RunRecord.data` and `Contract.data`.
    """
    return hashlib.sha256(repr((tuple(classes), data)).encode()).hexdigest()[:12]


def check_place(folder: Path, name: str, kind: Kind, subject: str, *, beside: Iterable[Path] = ()) -> None:
    """Refuse a place that `taking_place` would refuse, before the work for its content begins.

    Args:
        folder: As for `taking_place`.
        name: As for `taking_place`.
        kind: What is written.
        subject: As for `taking_place`.
        beside: Files that the same command writes.

    Raises:
        WrongUse: Files or edits would be lost, the folder is a file or a mount point, or a file that is written lies
            below a folder in the place, or has its name.
    """
    target = (folder / name).resolve()
    for file in beside:
        if file.resolve() in (target, *target.parents) or target in file.resolve().parent.parents:
            raise WrongUse(
                f"'{file}' and '{folder / name}' exclude each other", "choose another name for one of them"
            )
    if folder.exists():
        _check_folder(folder)
    if (folder / name).exists():
        _to_keep(folder / name, kind, subject)


def check_file(file: Path, classes: Sequence[str]) -> None:
    """Refuse to replace a file by an exported model, before the work for its content begins.

    Args:
        file: An ONNX file; one that does not exist or is empty passes.
        classes: The class names of the model.

    Raises:
        WrongUse: No export wrote it, or it has other classes.
    """
    if not file.exists() or not file.stat().st_size:
        return
    if not exported_among([file]):
        lost = f"'{file}' exists and was not written by capsedge export"
    elif (found := classes_of(file)) not in (tuple(classes), None):
        lost = f"'{file}' is of another network, with other classes ({', '.join(found or ())})"
    else:
        return
    raise WrongUse(lost, "move it away, or choose another --output")


@contextmanager
def taking_place(folder: Path, name: str, kind: Kind, subject: str) -> Iterator[Path]:
    """Yield an empty folder, which then becomes `folder/name` in one step.

    Args:
        folder: Created if it is missing.
        name: A folder in it. What capsedge wrote there before is replaced if it is of the same kind, unless it was
            edited since or is of another network, and stays if it is of another kind.
        kind: What is written.
        subject: Whose export it is, `subject_of`.

    Raises:
        WrongUse: Files or edits would be lost, or the folder is a file or a mount point.
    """
    if folder.exists():
        _check_folder(folder)
    # The staging folder lies outside of the given one, where a server takes every folder for a model.
    with (
        created(folder),
        naming(folder / name),
        tempfile.TemporaryDirectory(prefix=".capsedge-", dir=folder.resolve().parent) as staging,
    ):
        made = Path(staging, "new")
        made.mkdir()
        try:
            yield made
        except OSError as error:
            inside = str(error.filename or "").removeprefix(f"{made}{os.sep}")
            if error.errno in FULL and inside != error.filename:  # the user knows only the final name
                raise OSError(error.errno, error.strerror, str(folder / name / inside)) from error
            raise
        _replace_folder(made, folder / name, Path(staging, "old"), kind, subject)


def marked(text: str, subject: str, before: str, after: str = "") -> str:
    """A text after a first line with a hash that detects edits.

    Args:
        text: The text.
        subject: Whose export it is, `subject_of`.
        before: What starts the line, such as `# `.
        after: What ends it.
    """
    mark = f"Written by capsedge {__version__} (of {subject}, sha256 of the rest: {_sha256(text)})"
    return f"{before}{mark}{after}\n{text}"


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise WrongUse(f"expected a folder, got the file '{folder}'", "choose another name")
    if is_file(folder / RUN_FILE):
        raise WrongUse(f"'{folder}' is the folder of a run", "give another folder")
    if folder.resolve().parent.stat().st_dev != folder.stat().st_dev:
        raise WrongUse(
            f"'{folder}' is a mount point, to which nothing can be moved in one step", "give a folder inside of it"
        )


def _replace_folder(made: Path, target: Path, aside: Path, kind: Kind, subject: str) -> None:
    """Move a folder to its place, with what other exports wrote there."""
    if not target.exists():
        made.rename(target)
        return
    for entry in _to_keep(target, kind, subject):
        _take_along(entry, made / entry.name)
    target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        aside.rename(target)
        raise


def _to_keep(target: Path, kind: Kind, subject: str) -> list[Path]:
    """What other exports of capsedge wrote into a folder.

    Raises:
        WrongUse: Files that capsedge did not write, edits, or an export of another network would be lost.
    """
    entries = sorted(target.iterdir()) if target.is_dir() else [target]
    own = [entry for entry in entries if entry.name in kind.names]
    rest = [entry for entry in entries if entry.name not in kind.names]
    kept = {name for other in _KINDS if other != kind and _has_mark(target / other.main) for name in other.names}
    kept |= exported_among(rest)
    foreign = [entry.name for entry in rest if entry.name not in kept]
    if is_run(target):
        lost = f"'{target}' is the folder of a run"
    elif (own and not _has_mark(target / kind.main)) or (foreign and len(foreign) == len(entries)):
        lost = f"'{target}' exists and was not written by capsedge"
    elif own and _is_edited(target / kind.main):
        lost = f"'{target / kind.main}' was edited since capsedge wrote it"
    elif own and _subject_in(target / kind.main) not in (subject, None):
        lost = f"'{target}' is of another network, with other classes or images"
    elif foreign:
        lost = f"'{target}' also has {quoted(foreign)}"
    else:
        return rest
    raise WrongUse(lost, "move it away, or give another folder")


def _has_mark(file: Path) -> bool:
    return _MARK.match(_text_of(file)) is not None


def _is_edited(file: Path) -> bool:
    text = _text_of(file)
    mark = _MARK.match(text)
    return mark is None or _sha256(text[mark.end() :]) != mark[2]


def _subject_in(file: Path) -> str | None:
    """None in a file of an earlier capsedge."""
    mark = _MARK.match(_text_of(file))
    return mark[1] if mark else None


def _text_of(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


def _take_along(entry: Path, target: Path) -> None:
    """Give an entry a second name, under which it stays when the first goes; a copy where links are not possible."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, target, symlinks=True, copy_function=_linked)
    else:
        _linked(entry, target)


def _linked(source: str | Path, target: str | Path) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except (OSError, NotImplementedError):
        shutil.copy2(source, target, follow_symlinks=False)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
