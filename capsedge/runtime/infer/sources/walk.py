"""Walking through folders in the order of their names, with one folder's names in memory at a time."""

import os
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path, PurePath
from typing import TypeAlias

from capsedge.data.images import IMAGE_SUFFIXES
from capsedge.runtime.infer.sources.source import File, Unreadable

ZIP_SUFFIX = ".zip"
# The text chunk of PNG files that `--visualize` drew; they are results, not images to classify.
DRAWN_KEY, DRAWN_BY = "Software", "capsedge infer --visualize"
_DRAWN = f"{DRAWN_KEY}\0{DRAWN_BY}".encode("latin-1")
_HEAD_BYTES = 256  # the text follows the 33 bytes of a PNG's first chunk
_MAGIC = frozenset("*?[")
_ANY_DEPTH = "**"


def images_below(folder: Path) -> Iterator[File | Unreadable]:
    """Find the images of a folder, at any depth, sorted by their paths.

    Hidden files and folders, and pictures that `--visualize` drew, are skipped. Links to folders are not followed,
    because they may form a cycle.
    """
    return _flat(_images_below(folder))


_Found: TypeAlias = File | Unreadable
_Nested: TypeAlias = "Iterator[_Found | _Nested]"


def _flat(found: _Nested) -> Iterator[_Found]:
    """What iterators within iterators give; `yield from` would fail about a thousand folders deep."""
    inside = [found]
    while inside:
        for each in inside[-1]:
            if not isinstance(each, File | Unreadable):
                inside.append(each)
                break
            yield each
        else:
            inside.pop()


def _images_below(folder: Path) -> _Nested:
    for entry in _entries(folder):
        if isinstance(entry, Unreadable):
            yield entry
        elif entry.name.startswith("."):
            continue
        elif entry.is_dir(follow_symlinks=False):
            yield _images_below(folder / entry.name)
        elif _suffix(entry.name) in IMAGE_SUFFIXES and entry.is_file() and not _is_drawn(entry):
            yield File(folder / entry.name)


def is_glob(path: Path) -> bool:
    """Whether a path that names no file is a pattern with `*`, `?` or `[...]`."""
    return bool(_MAGIC & set(str(path)))


def matches(pattern: Path) -> Iterator[File | Unreadable]:
    """Find the files that match a pattern, sorted by path.

    `*`, `?` and `[...]` match within a name, `**` any number of folders. Hidden names match only a part that begins
    with a dot, and pictures that `--visualize` drew never match. A folder that matches gives all its images. If the
    pattern ends in a plain suffix, such as `*.dat`, every match is taken; else those with the suffix of an image or a
    zip archive.
    """
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if _MAGIC & set(part))
    return _flat(_Glob(parts[fixed:]).below(Path(*parts[:fixed]), frozenset({0})))


class _Glob:
    """The parts of a pattern as a small automaton: state i means that the parts before i have matched."""

    def __init__(self, parts: tuple[str, ...]) -> None:
        self.parts = parts
        suffix = Path(parts[-1]).suffix
        self.takes_all = bool(suffix) and not _MAGIC & set(suffix)
        self.follows_links = _ANY_DEPTH not in parts

    def below(self, folder: Path, states: frozenset[int]) -> _Nested:
        for entry in _entries(folder):
            if isinstance(entry, Unreadable):
                if os.path.exists(folder):  # noqa: PTH110  # pathlib raises where a name is too long
                    yield entry
                continue
            after = self._after(states, entry.name)
            matched = len(self.parts) in self._reached(after)
            if entry.is_dir(follow_symlinks=self.follows_links):
                place = folder / entry.name
                if matched or after:
                    yield _images_below(place) if matched else self.below(place, after)
            elif matched and self._wants(entry.name) and entry.is_file() and not _is_drawn(entry):
                yield File(folder / entry.name)

    def _reached(self, states: frozenset[int]) -> frozenset[int]:
        """The states, and those after a `**` that matches no folder."""
        reached = set(states)
        for state in sorted(states):
            following = state
            while following < len(self.parts) and self.parts[following] == _ANY_DEPTH:
                following += 1
                reached.add(following)
        return frozenset(reached)

    def _after(self, states: frozenset[int], name: str) -> frozenset[int]:
        """The states after one more name."""
        after: set[int] = set()
        for state in self._reached(states) - {len(self.parts)}:
            part = self.parts[state]
            if name.startswith(".") and not part.startswith("."):
                continue
            if part == _ANY_DEPTH:
                after.add(state)
            elif fnmatch(name, part):
                after.add(state + 1)
        return frozenset(after)

    def _wants(self, name: str) -> bool:
        return self.takes_all or _suffix(name) in (*IMAGE_SUFFIXES, ZIP_SUFFIX)


def _is_drawn(entry: "os.DirEntry[str]") -> bool:
    if _suffix(entry.name) != ".png":
        return False
    try:
        with Path(entry.path).open("rb", buffering=0) as file:
            return _DRAWN in (file.read(_HEAD_BYTES) or b"")
    except OSError:
        return False  # reading it reports the error


def _entries(folder: Path) -> "list[os.DirEntry[str]] | list[Unreadable]":
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        return [Unreadable(folder, f"the folder '{folder}' cannot be read: {error.strerror}")]


def _suffix(name: str) -> str:
    return PurePath(name).suffix.lower()
