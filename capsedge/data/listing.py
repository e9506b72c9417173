"""Listing the images of a folder or a .csv file, each with its class, and optionally its part and group.

No image is decoded here.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from capsedge.data.class_folders import search
from capsedge.data.image_list import read_list
from capsedge.data.items import Item, Listing, few
from capsedge.data.remark import Remark, remark
from capsedge.errors import DataError, WrongUse
from capsedge.outside import encodable
from capsedge.plural import number_of

LAYOUTS = (
    "<class>/*, train/<class>/* with or without test/<class>/* and val/<class>/*, or a list with columns path and "
    "label (a .csv, or metadata.csv in the folder)"
)


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
    listing = read_list(place) if place.is_file() else search(place)
    if not listing.items:
        raise DataError(f"'{place}' has no images{_after(listing)}: they are expected in {LAYOUTS}")
    # Names with other bytes than UTF-8 are escaped after sorting, so that the order is that of the files.
    items = [replace(item, name=encodable(item.name)) for item in listing.items]
    remarks = [structs.replace(each, text=encodable(each.text)) for each in listing.remarks]
    return replace(listing, items=items, remarks=remarks)


def _after(listing: Listing) -> str:
    return f" ({'; '.join(each.text for each in listing.remarks)})" if listing.remarks else ""


def _check_classes(listing: Listing) -> None:
    for item in listing.items:
        if not item.label.isprintable():
            raise DataError(
                f"'{listing.place}' has a class with unprintable characters in its name, {item.label!r}", "rename it"
            )
    trained = {item.label for item in listing.items if item.part in ("train", None)}
    if len(trained) < 2:
        count = f"training images of {number_of(len(trained), 'class')}"
        raise DataError(f"'{listing.place}' has {count}{_after(listing)}: two or more are expected, in {LAYOUTS}")
    for item in listing.items:
        if item.label not in trained:
            raise DataError(
                f"'{listing.place}' has {item.part} images of class '{item.label}', which has no training images",
                f"there are: {', '.join(sorted(trained))}",
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
