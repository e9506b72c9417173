"""Listing the images of a folder or a .csv file, each with its class, and optionally its part and group.

No image is decoded here. Skipped files are counted in remarks, never dropped in silence.
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

from msgspec import structs

from capsedge.data.images import IMAGE_SUFFIXES, is_hidden
from capsedge.data.remark import DataCode, Remark, remark
from capsedge.errors import DataError, WrongUse
from capsedge.files import is_file
from capsedge.outside import encodable
from capsedge.plural import number_of, plural

Part = Literal["train", "validation", "test"]

# Names of parts, in any case: folders, and values of the part column of a list.
PARTS: dict[str, Part] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
# Names of columns in a list, in any case; file_name is that of Hugging Face's imagefolder.
PATH_COLUMNS = ("path", "file", "file_name", "filename", "filepath", "file_path", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target")
PART_COLUMNS = ("split", "part", "subset", "set")
LISTS = ("metadata.csv", "labels.csv")  # lists in a folder of images

_OF_MACS = "__MACOSX"  # macOS adds this folder to archives

LAYOUTS = (
    "<class>/*, train/<class>/* with or without test/<class>/* and val/<class>/*, or a list with columns path and "
    "label (a .csv, or metadata.csv in the folder)"
)


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        path: Path of the file.
        name: The path relative to the folder or the list, with forward slashes.
        label: Name of its class.
        part: Part given by the user; None if capsedge chooses it.
        group: Images with the same text stay in one part; "" for no group.
    """

    path: Path
    name: str
    label: str
    part: Part | None = None
    group: str = ""


@dataclass(frozen=True)
class Listing:
    """The images of a folder or a list.

    Attributes:
        place: The folder or list.
        items: All images, sorted by name.
        remarks: What was skipped.
    """

    place: Path
    items: list[Item]
    remarks: list[Remark] = field(default_factory=list)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, sorted."""
        return tuple(sorted({item.label for item in self.items}))

    def of(self, part: Part | None) -> list[Item]:
        """Images of a part."""
        return [item for item in self.items if item.part == part]


def list_images(place: Path, *, group: str = "") -> Listing:
    """List the images of a folder or of a .csv file.

    A folder has one folder for each class, directly or in folders for parts (train, val, test, or their longer
    names). Folders of classes may have folders of their own. Hidden files are skipped without a remark.

    Args:
        place: The folder or list.
        group: A regular expression. Images in whose names it finds the same text (or its first group, if it has one)
            belong to one group; "" for no groups.

    Raises:
        DataError: There are fewer than two classes, a list lacks a column, a part has a class without training
            images, or the expression finds nothing in some names.
        WrongUse: `group` is not a regular expression.
    """
    listing = list_labelled(place)
    _check_classes(listing)
    listing = replace(listing, remarks=[*listing.remarks, *_lacking(listing)])
    return _grouped(listing, group) if group else listing


def _lacking(listing: Listing) -> Iterator[Remark]:
    """Remarks about classes that are missing in a part given by the user."""
    for part in ("validation", "test"):
        present = {item.label for item in listing.of(part)}
        if lacking := sorted({*listing.classes} - present if present else ()):
            text = f"the {part} part has no images of {few(lacking, 'class')}"
            yield remark("lacking-classes", text, classes=len(lacking))


def list_labelled(place: Path) -> Listing:
    """List the images of a folder or of a .csv file, with any number of classes and parts.

    Raises:
        DataError: See `list_images`; or there are no images.
    """
    listing = _read_list(place) if place.is_file() else _searched(place)
    if not listing.items:
        raise DataError(f"'{place}' has no images{_after(listing)}: they are expected in {LAYOUTS}")
    # Names with other bytes than UTF-8 are escaped after sorting, so that the order is that of the files.
    items = [replace(item, name=encodable(item.name)) for item in listing.items]
    remarks = [structs.replace(each, text=encodable(each.text)) for each in listing.remarks]
    return replace(listing, items=items, remarks=remarks)


def _after(listing: Listing) -> str:
    return f" ({'; '.join(each.text for each in listing.remarks)})" if listing.remarks else ""


def _searched(folder: Path) -> Listing:
    remarks = []
    for name in LISTS:
        if (folder / name).is_file():
            if _names_images(folder / name):
                return _read_list(folder / name)
            remarks.append(remark("list-skipped", f"'{name}' has no columns path and label and is skipped"))
    below = _folders(folder)
    if len(below) == 1 and below[0].name.lower() not in PARTS and not _any_image(folder) and _folders(below[0]):
        inner = _searched(below[0])  # as of an archive that was unpacked into a folder of its own name
        where = remark("folder-inside", f"the images are those in '{below[0]}'")
        return replace(inner, remarks=[where, *inner.remarks])
    parts = _parts(below)
    others = [each for each in below if each not in parts]
    search = _Search(folder, remarks)
    search.outside += _count_images(folder)
    for place, part in parts.items():
        search.outside += _count_images(place)
        search.classes(_folders(place), part)
    if "train" in parts.values():
        names = ", ".join(each.name for each in parts)
        search.remarks += [
            remark("folder-skipped", f"folder '{each.name}' beside {names} is skipped") for each in others
        ]
    else:
        search.classes(others, "train" if parts and others else None)
    return search.listing()


def _parts(below: Sequence[Path]) -> dict[Path, Part]:
    """Find the folders that are parts: they have a part's name and hold class folders that fit the other folders.

    A folder named `train` may be a class with pictures of trains, and `test` may be beside the folders of the
    classes.
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
    """Whether a folder has subfolders with at least as many images as are directly in it."""
    below = _folders(folder)
    return bool(below) and sum(map(_count_images, below)) >= _count_images(folder)


class _Search:
    """Collects the images in the folders of classes."""

    def __init__(self, folder: Path, remarks: list[Remark]) -> None:
        self.folder = folder
        self.items: list[Item] = []
        self.remarks = remarks
        self.other: Counter[str] = Counter()  # suffixes of files that are not images
        self.dead: list[str] = []
        self.links: list[str] = []  # to folders
        self.unreadable: list[str] = []  # folders
        self.outside = 0

    def classes(self, folders: Sequence[Path], part: Part | None) -> None:
        """Add the images of class folders."""
        for folder in folders:
            before = len(self.items), len(self.unreadable)
            for path in self._files(folder):
                self._take(path, folder.name, part)
            if (len(self.items), len(self.unreadable)) == before:
                self.remarks.append(remark("folder-empty", f"class folder '{folder}' has no images and is skipped"))

    def listing(self) -> Listing:
        """The listing of all images found."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in self.other.most_common(4))
        found: list[tuple[DataCode, int, str]] = [
            ("images-outside", self.outside, f"{number_of(self.outside, 'image')} outside the class folders skipped"),
            ("files-skipped", self.other.total(), f"{number_of(self.other.total(), 'other file')} skipped ({kinds})"),
            ("broken-links", len(self.dead), f"{few(self.dead, 'broken link')} skipped"),
            ("links", len(self.links), f"{few(self.links, 'link to a folder', 'links to folders')} not followed"),
            (
                *("folders-unreadable", len(self.unreadable)),
                f"{few(self.unreadable, 'folder')} cannot be read: check the permissions",
            ),
        ]
        self.remarks += [remark(code, text, count=count) for code, count, text in found if count]
        return Listing(self.folder, sorted(self.items, key=lambda item: item.name), self.remarks)

    def _files(self, folder: Path) -> Iterator[Path]:
        """All visible files below a class folder."""
        unread: list[OSError] = []
        for root, below, names in os.walk(folder, onerror=unread.append):
            if not os.access(root, os.X_OK):  # lists its names, and opens nothing
                self.unreadable.append(self._name(Path(root)))
                below.clear()  # else each of its folders would be counted, too
                continue
            self.links += [self._name(Path(root, name)) for name in below if Path(root, name).is_symlink()]
            for name in names:
                path = Path(root, name)
                if not is_hidden(path.relative_to(folder)):
                    yield path
        self.unreadable += [self._name(Path(error.filename)) for error in unread]

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def _take(self, path: Path, label: str, part: Part | None) -> None:
        name = self._name(path)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            self.other[path.suffix.lower() or "without a suffix"] += 1
        elif not path.exists():
            self.dead.append(name)
        elif not path.is_file():  # reading a pipe could block forever
            self.other["pipe or device"] += 1
        else:
            self.items.append(Item(path, name, label, part))


def _names_images(path: Path) -> bool:
    """Whether the first line of a .csv file names the columns of a list of images."""
    try:
        _columns(path, _rows(path))
    except DataError:
        return False
    return True


def _rows(path: Path) -> "csv.DictReader[str]":
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not text in UTF-8: save it as UTF-8, with columns path and label") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _columns(path: Path, rows: "csv.DictReader[str]") -> tuple[str, str, str | None]:
    """Names of the columns for path, label and part; None without a part column."""
    columns = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    where, label, part = (
        next((columns[name] for name in names if name in columns), None)
        for names in (PATH_COLUMNS, LABEL_COLUMNS, PART_COLUMNS)
    )
    if where is None or label is None:
        raise DataError(
            f"'{path}': expected a first line that names the columns path and label (and optionally split), got "
            f"{', '.join(rows.fieldnames or ()) or 'none'}"
        )
    return where, label, part


def _read_list(path: Path) -> Listing:
    rows = _rows(path)
    try:
        return _listed(path, rows)
    except csv.Error as error:
        raise DataError(f"'{path}' is not a valid .csv after line {rows.line_num}: {error}") from error


def _listed(path: Path, rows: "csv.DictReader[str]") -> Listing:
    where, label, part = _columns(path, rows)
    items, missing, unlabelled = [], [], 0
    for row in rows:
        name, label_text = (row[where] or "").strip(), (row[label] or "").strip()
        if not name:
            continue
        if not label_text:
            unlabelled += 1
        elif not is_file(path.parent / name):
            missing.append(name)
        else:
            named = _part_named(row[part] if part else "", f"'{path}', line {rows.line_num}")
            items.append(Item(path.parent / name, Path(name).as_posix(), label_text, named))
    remarks = []
    if missing:
        text = f"{few(missing, 'listed file')} missing and skipped"
        remarks.append(remark("files-missing", text, count=len(missing)))
    if unlabelled:
        text = f"{number_of(unlabelled, 'listed file')} without a label skipped"
        remarks.append(remark("files-without-label", text, count=unlabelled))
    return Listing(path, sorted(items, key=lambda item: item.name), remarks)


def _part_named(name: str | None, where: str) -> Part | None:
    text = (name or "").strip().lower()
    if text and text not in PARTS:
        raise DataError(f"{where}: expected one of {', '.join(PARTS)}, or nothing, as the split, got '{text}'")
    return PARTS[text] if text else None


def _check_classes(listing: Listing) -> None:
    for item in listing.items:
        if not item.label.isprintable():
            raise DataError(
                f"'{listing.place}' has a class with unprintable characters in its name, {item.label!r}: rename it"
            )
    trained = {item.label for item in listing.items if item.part in ("train", None)}
    if len(trained) < 2:
        count = f"training images of {number_of(len(trained), 'class')}"
        raise DataError(f"'{listing.place}' has {count}{_after(listing)}: two or more are expected, in {LAYOUTS}")
    for item in listing.items:
        if item.label not in trained:
            raise DataError(
                f"'{listing.place}' has {item.part} images of class '{item.label}', which has no training images; "
                f"there are: {', '.join(sorted(trained))}"
            )


def _grouped(listing: Listing, pattern: str) -> Listing:
    try:
        finds = re.compile(pattern)
    except re.error as error:
        raise WrongUse(f"data.group: expected a regular expression, such as patient_[0-9]+: {error}") from error
    items, lost = [], []
    for item in listing.items:
        found = finds.search(item.name)
        if found is None:
            lost.append(item.name)
        else:
            text = found.group(1 if finds.groups else 0)
            items.append(replace(item, group=text or item.name))  # an empty match is a group of one image
    if lost:
        raise DataError(f"data.group '{pattern}' finds nothing in {few(lost, 'name')}, of {len(listing.items):,}")
    return replace(listing, items=items)


def about_groups(items: Sequence[Item]) -> Remark:
    """A remark about the groups of images."""
    members = Counter(item.group for item in items)
    (largest, count), *_ = members.most_common(1)
    groups, images = number_of(len(members), "group"), number_of(len(items), "image")
    text = encodable(f"data.group finds {groups} in {images}, the largest '{largest}' with {count:,}")
    return remark("groups", text, groups=len(members), images=len(items), largest=count)


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in _visible(place) if path.is_dir())


def _any_image(place: Path) -> bool:
    return _count_images(place) > 0


def _count_images(place: Path) -> int:
    return sum(path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir() for path in _visible(place))


def _visible(place: Path) -> Iterator[Path]:
    return (path for path in place.iterdir() if not is_hidden(path.relative_to(place)) and path.name != _OF_MACS)


def few(names: Sequence[str], what: str, several: str = "") -> str:
    """A count with the first names: `3 broken links ('a.png', 'b.png', ...)`.

    Args:
        names: All names.
        what: Noun for one of them.
        several: Noun for several; "" for the plural of `what`.
    """
    shown = ", ".join(f"'{name}'" for name in names[:3]) + (", ..." if len(names) > 3 else "")
    return f"{len(names):,} {plural(len(names), what, several)} ({shown})"
