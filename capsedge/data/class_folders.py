"""Searches a folder that has one folder of images for each class, directly or in folders for parts.

Skipped files are counted in remarks, never dropped in silence.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from capsedge.data.image_list import names_images, read_list
from capsedge.data.images import IMAGE_SUFFIXES, is_hidden
from capsedge.data.items import PARTS, Item, Listing, Part, few
from capsedge.data.remark import DataCode, Remark, remark
from capsedge.plural import number_of

LISTS = ("metadata.csv", "labels.csv")  # lists in a folder of images

_OF_MACS = "__MACOSX"  # macOS adds this folder to archives


def search(folder: Path) -> Listing:
    """Find the images of a folder: those of its list if it has one, else those of its class folders.

    Args:
        folder: The folder; one that holds only a folder of such folders, as an unpacked archive does, is taken too.

    Raises:
        DataError: The list is damaged or names an unknown part.
    """
    remarks: list[Remark] = []
    outer = folder
    while True:
        for name in LISTS:
            if (folder / name).is_file():
                if names_images(folder / name):
                    listing = read_list(folder / name)
                    return replace(listing, remarks=[*_inside(outer, folder), *remarks, *listing.remarks])
                remarks.append(remark("list-skipped", f"'{name}' has no columns path and label and is skipped"))
        below = _folders(folder)
        if len(below) != 1 or below[0].name.lower() in PARTS or _any_image(folder) or not _folders(below[0]):
            break
        (folder,) = below  # as of an archive that was unpacked into a folder of its own name
    remarks = [*_inside(outer, folder), *remarks]
    parts = _parts(below)
    others = [each for each in below if each not in parts]
    found = _Search(folder, remarks)
    found.outside += _count_images(folder)
    for place, part in parts.items():
        found.outside += _count_images(place)
        found.classes(_folders(place), part)
    if "train" in parts.values():
        names = ", ".join(each.name for each in parts)
        found.remarks += [
            remark("folder-skipped", f"folder '{each.name}' beside {names} is skipped") for each in others
        ]
    else:
        found.classes(others, "train" if parts and others else None)
    return found.listing()


def _inside(outer: Path, folder: Path) -> list[Remark]:
    return [] if folder == outer else [remark("folder-inside", f"the images are those in '{folder}'")]


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
        """All visible files below a class folder; before Python 3.12, os.walk fails about a thousand folders deep."""
        waiting = [folder]
        while waiting:
            root = waiting.pop()
            try:
                with os.scandir(root) as found:
                    entries = list(found)
            except OSError:
                self.unreadable.append(self._name(root))
                continue
            if not os.access(root, os.X_OK):  # lists its names, and opens nothing
                self.unreadable.append(self._name(root))
                continue
            for entry in entries:
                path = root / entry.name
                if not _is_folder(entry):
                    if not is_hidden(path.relative_to(folder)):
                        yield path
                elif entry.is_symlink():
                    self.links.append(self._name(path))
                else:
                    waiting.append(path)

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


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in _visible(place) if path.is_dir())


def _any_image(place: Path) -> bool:
    return _count_images(place) > 0


def _count_images(place: Path) -> int:
    return sum(path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir() for path in _visible(place))


def _visible(place: Path) -> Iterator[Path]:
    return (path for path in place.iterdir() if not is_hidden(path.relative_to(place)) and path.name != _OF_MACS)
