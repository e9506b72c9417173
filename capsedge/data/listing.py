"""What lies in a person's folder or list: images, each with its class, and perhaps its part and its group.

Nothing is decoded here. What is passed over is counted and told, never dropped in silence.
"""

import csv
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Literal

from capsedge.data.images import IMAGE_SUFFIXES, is_hidden
from capsedge.errors import DataError, WrongUse
from capsedge.plural import number_of, plural

Part = Literal["train", "validation", "test"]

# Names of folders, and of parts in a list, in any case.
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Names of columns in a list, in any case; Hugging Face's imagefolder calls the first one file_name.
PATH_COLUMNS = ("path", "file", "file_name", "filename", "filepath", "file_path", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target")
PART_COLUMNS = ("split", "part", "subset", "set")
LISTS = ("metadata.csv", "labels.csv")  # of a folder, beside its images

_OF_MACS = "__MACOSX"  # what lies in their archives beside the files

LAYOUTS = (
    "<class>/*, train/<class>/* with test/<class>/* and val/<class>/* or without, or a list with columns path and "
    "label (a .csv, or metadata.csv in the folder)"
)


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        path: Where it lies.
        name: The same from the folder's or the list's place, with forward slashes.
        label: Its class.
        part: Which part it was put into; None where that is left to capsedge.
        group: What it must stay together with; "" for itself alone.
    """

    path: Path
    name: str
    label: str
    part: Part | None = None
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a place, in the order of their names, and what was said of the rest.

    Attributes:
        place: The folder or list.
        items: All images, in the order of their names.
        remarks: What was passed over, one line each.
    """

    place: Path
    items: list[Item]
    remarks: list[str] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """The sorted names of the classes."""
        return tuple(sorted({item.label for item in self.items}))

    def of(self, part: Part | None) -> list[Item]:
        """The images of a part."""
        return [item for item in self.items if item.part == part]


def list_images(place: Path, *, group: str = "") -> Listing:
    """List the images of a folder or of a .csv file.

    A folder holds a folder for each class, at once or in parts (train, val, test, also by their longer names); a
    class may hold folders of its own. Hidden files are passed over in silence.

    Args:
        place: The folder or list.
        group: A regular expression. Images in whose names it finds the same text, or in its first group where it has
            one, are of one group; "" for no groups.

    Raises:
        DataError: There are no images of two classes, a list has no such columns, a part has a class that the
            training images have not, or some names are of no group.
        WrongUse: The expression is none.
    """
    listing = list_labelled(place)
    _check_classes(listing)
    listing = replace(listing, remarks=[*listing.remarks, *_lacking(listing)])
    return _grouped(listing, group) if group else listing


def _lacking(listing: Listing) -> Iterator[str]:
    """What a part lacks that was put together by a person."""
    for part in ("validation", "test"):
        there = {item.label for item in listing.of(part)}
        if lacking := sorted({*listing.classes} - there if there else ()):
            yield f"the {part} part has no images of {few(lacking, 'class')}"


def list_labelled(place: Path) -> Listing:
    """List the images of a folder or of a .csv file, of however many classes in however many parts.

    Raises:
        DataError: See `list_images`; or there are no images.
    """
    listing = _read_list(place) if place.is_file() else _searched(place)
    if not listing.items:
        raise DataError(f"'{place}' has no images{_after(listing)}: they are expected in {LAYOUTS}")
    return listing


def _after(listing: Listing) -> str:
    return f" ({'; '.join(listing.remarks)})" if listing.remarks else ""


def _searched(folder: Path) -> Listing:
    passed = []
    for name in LISTS:
        if (folder / name).is_file():
            if _names_images(folder / name):
                return _read_list(folder / name)
            passed.append(f"'{name}' names no columns path and label, and is passed over")
    below = _folders(folder)
    if len(below) == 1 and below[0].name.lower() not in PARTS and not _any_image(folder) and _folders(below[0]):
        inner = _searched(below[0])  # an archive that was unpacked into a folder of its own name
        return replace(inner, remarks=[f"the images are those in '{below[0]}'", *inner.remarks])
    parts = _parts(below)
    others = [each for each in below if each not in parts]
    search = _Search(folder, passed)
    search.outside += _count_images(folder)
    for place, part in parts.items():
        search.outside += _count_images(place)
        search.classes(_folders(place), part)
    if "train" in parts.values():
        names = ", ".join(each.name for each in parts)
        search.remarks += [f"folder '{each.name}' beside {names} is passed over" for each in others]
    else:
        search.classes(others, "train" if parts and others else None)
    return search.listing()


def _parts(below: Sequence[Path]) -> dict[Path, Part]:
    """Which of the folders are parts: those called so that hold folders, and fit what lies beside them.

    A folder called `train` may hold pictures of trains, and `test` may lie beside the classes to train on.
    """
    named = {each: PARTS[each.name.lower()] for each in below if each.name.lower() in PARTS and _holds_classes(each)}
    others = [each for each in below if each not in named]
    if "train" in named.values():
        alone = set(named.values()) == {"train"}
        return {} if alone and any(map(_count_images, others)) else named
    classes = {each.name for each in others}
    return {
        each: part
        for each, part in named.items()
        if not classes or {inner.name for inner in _folders(each)} <= classes
    }


def _holds_classes(folder: Path) -> bool:
    """Whether a folder holds folders, with more images than lie about in it."""
    below = _folders(folder)
    return bool(below) and sum(map(_count_images, below)) >= _count_images(folder)


class _Search:
    """A walk through the folders of classes."""

    def __init__(self, folder: Path, remarks: list[str]) -> None:
        self.folder = folder
        self.items: list[Item] = []
        self.remarks = remarks
        self.other: Counter[str] = Counter()  # suffixes of what is no image
        self.dead: list[str] = []
        self.closed: list[str] = []  # folders that are links, or cannot be read
        self.outside = 0

    def classes(self, folders: Sequence[Path], part: Part | None) -> None:
        """Take the images of the classes that these folders are."""
        for folder in folders:
            before = len(self.items)
            for path in self._files(folder):
                self._take(path, folder.name, part)
            if len(self.items) == before:
                self.remarks.append(f"class folder '{folder}' has no images and is passed over")

    def listing(self) -> Listing:
        """All that was found."""
        if self.outside:
            self.remarks.append(f"{number_of(self.outside, 'image')} in no class's folder passed over")
        if self.other:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self.other.most_common(4))
            self.remarks.append(f"{number_of(self.other.total(), 'other file')} passed over ({kinds})")
        if self.dead:
            self.remarks.append(f"{few(self.dead, 'dead link')} passed over")
        if self.closed:
            told = few(self.closed, "folder")
            self.remarks.append(f"{told} passed over: a link, which may lead in a circle, or not to be read")
        return Listing(self.folder, sorted(self.items, key=lambda item: item.name), self.remarks)

    def _files(self, folder: Path) -> Iterator[Path]:
        """All files below a class's folder that are not hidden."""
        unread: list[OSError] = []
        for root, below, names in os.walk(folder, onerror=unread.append):
            self.closed += [self._name(Path(root, name)) for name in below if Path(root, name).is_symlink()]
            for name in names:
                path = Path(root, name)
                if not is_hidden(path.relative_to(folder)):
                    yield path
        self.closed += [self._name(Path(error.filename)) for error in unread]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _take(self, path: Path, label: str, part: Part | None) -> None:
        name = self._name(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            self.other[path.suffix.lower() or "without a suffix"] += 1
        elif not path.exists():
            self.dead.append(name)
        elif not path.is_file():  # a pipe would be waited for without end
            self.other["pipe or device"] += 1
        else:
            self.items.append(Item(path, name, label, part))


def _names_images(path: Path) -> bool:
    """Whether a list's first line names its columns as a list of images does."""
    try:
        _columns(path, _rows(path))
    except DataError:
        return False
    return True


def _rows(path: Path) -> "csv.DictReader[str]":
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is no text in UTF-8: save it so, with columns path and label") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _columns(path: Path, rows: "csv.DictReader[str]") -> tuple[str, str, str | None]:
    """The names of the columns of path, label, and where there is one, part."""
    columns = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    where, label, part = (
        next((columns[name] for name in names if name in columns), None)
        for names in (PATH_COLUMNS, LABEL_COLUMNS, PART_COLUMNS)
    )
    if where is None or label is None:
        raise DataError(
            f"'{path}' wants a first line that names its columns, path and label among them (and split, if you "
            f"like), and names {', '.join(rows.fieldnames or ()) or 'none'}"
        )
    return where, label, part


def _read_list(path: Path) -> Listing:
    rows = _rows(path)
    try:
        return _listed(path, rows)
    except csv.Error as error:
        raise DataError(f"'{path}' is no sound .csv behind its line {rows.line_num}: {error}") from error


def _listed(path: Path, rows: "csv.DictReader[str]") -> Listing:
    where, label, part = _columns(path, rows)
    items, missing, unlabelled = [], [], 0
    for row in rows:
        name, told = (row[where] or "").strip(), (row[label] or "").strip()
        if not name:
            continue
        if not told:
            unlabelled += 1
        elif not (path.parent / name).is_file():
            missing.append(name)
        else:
            named = _part_named(row[part] if part else "", f"'{path}', line {rows.line_num}")
            items.append(Item(path.parent / name, Path(name).as_posix(), told, named))
    remarks = []
    if missing:
        remarks.append(f"{few(missing, 'listed file')} not there, passed over")
    if unlabelled:
        remarks.append(f"{number_of(unlabelled, 'listed file')} without a label passed over")
    return Listing(path, sorted(items, key=lambda item: item.name), remarks)


def _part_named(name: str | None, where: str) -> Part | None:
    told = (name or "").strip().lower()
    if told and told not in PARTS:
        raise DataError(f"{where}: the split is '{told}', and wants to be one of {', '.join(PARTS)}, or nothing")
    return PARTS[told] if told else None


def _check_classes(listing: Listing) -> None:
    for item in listing.items:
        if not item.label.isprintable():
            raise DataError(
                f"'{listing.place}' has a class with letters that cannot be shown, {item.label!r}: rename it"
            )
    trained = {item.label for item in listing.items if item.part in ("train", None)}
    if len(trained) < 2:
        count = f"training images of {number_of(len(trained), 'class')}"
        raise DataError(f"'{listing.place}' has {count}{_after(listing)}: two or more are expected, in {LAYOUTS}")
    for item in listing.items:
        if item.label not in trained:
            raise DataError(
                f"'{listing.place}' has {item.part} images of a class '{item.label}' that its training images have "
                f"not; there are: {', '.join(sorted(trained))}"
            )


def _grouped(listing: Listing, pattern: str) -> Listing:
    try:
        finds = re.compile(pattern)
    except re.error as error:
        raise WrongUse(f"data.group wants a regular expression, such as patient_[0-9]+: {error}") from error
    items, lost = [], []
    for item in listing.items:
        found = finds.search(item.name)
        if found is None:
            lost.append(item.name)
        else:
            text = found.group(1 if finds.groups else 0)
            items.append(replace(item, group=text or item.name))  # what belongs to nothing is itself alone
    if lost:
        raise DataError(f"data.group '{pattern}' finds nothing in {few(lost, 'name')}, of {len(listing.items):,}")
    members = Counter(item.group for item in items)
    (largest, count), *_ = members.most_common(1)
    groups, images = number_of(len(members), "group"), number_of(len(items), "image")
    told = f"data.group finds {groups} in {images}, the largest '{largest}' with {count:,}"
    return replace(listing, items=items, remarks=[*listing.remarks, told])


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in _visible(place) if path.is_dir())


def _any_image(place: Path) -> bool:
    return _count_images(place) > 0


def _count_images(place: Path) -> int:
    return sum(path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir() for path in _visible(place))


def _visible(place: Path) -> Iterator[Path]:
    return (path for path in place.iterdir() if not is_hidden(path.relative_to(place)) and path.name != _OF_MACS)


def few(names: Sequence[str], what: str, several: str = "") -> str:
    """A count and the first names: `3 dead links ('a.png', 'b.png', ...)`.

    Args:
        names: All names.
        what: What they are of, of one.
        several: Likewise, of several; "" for the same with an s.
    """
    shown = ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {plural(len(names), what, several)} ({shown})"
