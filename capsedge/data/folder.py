"""A folder of images, or a list of them: found (`listing`), decoded and fitted here, and divided (`own`).

What cannot be read is left out and told with its first reason, so that one broken file does not end a training.
"""

import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from capsedge.data.dataset import Dataset
from capsedge.data.images import decode_image, fit_image, glance, header
from capsedge.data.images.decode import Header
from capsedge.data.listing import Item, Listing, few, list_images
from capsedge.data.own import Own, divided, looked_at
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import plural

LARGEST_SIDE = 48  # of those that are chosen where nothing was said
FEW_COLOURED = 0.05  # where no larger share is in colour, colour says nothing of the classes
_MOST_THREADS = 8

_T = TypeVar("_T")


def load_folder(place: Path, *, size: int = 0, group: str = "", fit: Fit | None = None) -> Dataset:
    """Load the images of a folder or a list.

    Args:
        place: See `list_images`.
        size: Side in pixels to fit the images to. 0 keeps the size that all have, if no side of it is longer than 48
            pixels; else it is the median of the longer sides, and 48 at most.
        group: See `list_images`.
        fit: How to fit images of another size.

    Returns:
        The data set. Its images have one channel where all are grey, or at most 5 % are not; else three.

    Raises:
        DataError: See `list_images` and `divided`.
        WrongUse: `group` is no regular expression.
    """
    fit = fit or Fit()
    named, place = place, place.resolve()  # a list names its images from where it truly lies
    listing = list_images(place, group=group)
    items, headers, broken = _asked(listing.items, lambda item: header(item.path))
    _check_classes(listing, items, broken)
    shape, told = _shape(headers, size)
    room = _room(len(items), shape)
    places = {item.name: position for position, item in enumerate(items)}
    sample, glances = looked_at(len(items)), []

    def fill(item: Item) -> int:
        position, image = places[item.name], decode_image(item.path)
        room[position] = fit_image(image, shape, fit)
        if position in sample:  # as it was given: what pads it is no background
            glances.append(glance(image))
        return position

    items, positions, unread = _asked(items, fill)
    broken |= unread
    _check_classes(listing, items, broken)
    for row, position in enumerate(positions):
        if row != position:  # some before it are broken; to choose the others at once would copy all
            room[row] = room[position]
    position_of = {name: label for label, name in enumerate(listing.classes)}
    own = Own(
        images=Split(room[: len(positions)], np.array([position_of[item.label] for item in items], dtype=np.int64)),
        classes=listing.classes,
        parts=[item.part for item in items],
        names=[item.name for item in items],
        groups=[item.group for item in items] if group else (),
        glances=glances,
    )
    found = divided(own, name=place.stem or "data", location=str(named), source=str(place), fit=fit)
    return replace(found, remarks=(*listing.remarks, *_told(broken), *told, *found.remarks))


def _asked(items: Sequence[Item], question: Callable[[Item], _T]) -> tuple[list[Item], list[_T], dict[str, str]]:
    """Ask something of every image.

    Returns:
        The images that answered, their answers, and why the others did not, by their names.
    """
    from concurrent.futures import ThreadPoolExecutor

    def answer(item: Item) -> tuple[Item, _T | DataError]:
        try:
            return item, question(item)
        except DataError as error:
            return item, error

    # Threads suffice: Pillow decodes and resizes without the interpreter's lock.
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        answers = list(pool.map(answer, items))
    failed = {item.name: str(found) for item, found in answers if isinstance(found, DataError)}
    read = [(item, found) for item, found in answers if not isinstance(found, DataError)]
    return [item for item, _ in read], [found for _, found in read], failed


def _check_classes(listing: Listing, items: Sequence[Item], broken: Mapping[str, str]) -> None:
    """Refuse to go on without a class that was there before its files turned out to be broken."""
    left = {item.label for item in items if item.part in ("train", None)}
    for name in listing.classes:
        if name not in left:
            raise DataError(f"no training image of class '{name}' can be read; {'; '.join(_told(broken))}")


def _told(broken: Mapping[str, str]) -> list[str]:
    if not broken:
        return []
    return [f"{few(list(broken), 'broken image')} left out; the first: {next(iter(broken.values()))}"]


def _shape(headers: Sequence[Header], size: int) -> tuple[tuple[int, int, int], list[str]]:
    """Height, width and channels of all images, and what that does to some."""
    sizes = [(each.height, each.width) for each in headers]
    height, width = (size, size) if size else _chosen_size(sizes)
    told = []
    fitted = sum(each != (height, width) for each in sizes)
    if fitted:
        smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
        choice = "" if size else "; data.size takes another side, and the work grows with its square"
        these = f"{smallest[1]}x{smallest[0]}"
        if smallest != largest:
            these += f" to {largest[1]}x{largest[0]}"
        told.append(f"images of {these} pixels are fitted to {width}x{height}, {fitted:,} of {len(sizes):,}{choice}")
    grey = sum(each.grey for each in headers)
    coloured = len(headers) - grey
    channels = 3 if coloured > FEW_COLOURED * len(headers) else 1
    if channels == 1 and coloured:
        told.append(
            f"{coloured:,} of {len(headers):,} images {plural(coloured, 'is', 'are')} in colour, and made grey as "
            "the others are"
        )
    elif coloured < len(headers) and channels == 3:
        told.append(
            f"{grey:,} of {len(headers):,} images {plural(grey, 'is', 'are')} grey, and the others are in colour: "
            "where colour differs by class, the network may learn that alone"
        )
    return (height, width, channels), told


def _chosen_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    height, width = sizes[0]
    if max(height, width) <= LARGEST_SIDE and len({*sizes}) == 1:
        return height, width
    side = min(LARGEST_SIDE, int(statistics.median(map(max, sizes))))
    return side, side


def _room(count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    try:
        return np.empty((count, *shape), dtype=np.uint8)
    except MemoryError as error:
        height, width, channels = shape
        gigabytes = count * height * width * channels / 1e9
        raise DataError(
            f"{count:,} images of {height} x {width} x {channels} need {gigabytes:.1f} GB of memory; "
            "set data.size to a smaller side"
        ) from error
