"""A folder or a list of images: listed by `listing`, decoded and fitted here, split into parts by `own`.

Images that cannot be read are left out with a remark that names the first reason, so that one broken file does not
end a training.
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
from capsedge.data.items import Item, Listing, few
from capsedge.data.listing import about_groups, list_images
from capsedge.data.own import Own, background_sample, divided
from capsedge.data.remark import Remark, remark
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import plural

LARGEST_SIDE = 48  # of an automatically chosen size, in pixels
FEW_COLOURED = 0.05  # largest share of images in colour for which all images are made grey
_MOST_THREADS = 8

_T = TypeVar("_T")


def load_folder(place: Path, *, size: int = 0, group: str = "", fit: Fit | None = None) -> Dataset:
    """Load the images of a folder or a list.

    Args:
        place: See `list_images`.
        size: Side in pixels to fit the images to. 0 chooses it by the images: their size if all have the same, up to
            48; otherwise the median of the longer sides, at most 48.
        group: See `list_images`.
        fit: How to fit images of another size.

    Returns:
        The data set. Its images have one channel if at most 5 % of them are in colour, otherwise three.

    Raises:
        DataError: See `list_images` and `divided`.
        WrongUse: `group` is not a regular expression.
    """
    fit = fit or Fit()
    named, place = place, place.resolve()  # paths in a list are relative to the file that a link leads to
    listing = list_images(place, group=group)
    items, headers, broken = _for_each(listing.items, lambda item: header(item.path))
    _check_classes(listing, items, broken)
    shape = _shape(headers, size)
    header_of = dict(zip((item.path for item in items), headers, strict=True))
    images = _allocated(len(items), shape)
    places = {item.path: position for position, item in enumerate(items)}
    sample, glances = background_sample(len(items)), []

    def fill(item: Item) -> int:
        position, image = places[item.path], decode_image(item.path)
        images[position] = fit_image(image, shape, fit)
        if position in sample:  # of the original image: padding is not its background
            glances.append(glance(image))
        return position

    items, positions, undecoded = _for_each(items, fill)
    broken |= undecoded
    _check_classes(listing, items, broken)
    for row, position in enumerate(positions):
        if row != position:  # close the gaps of broken images in place: indexing would copy all images
            images[row] = images[position]
    position_of = {name: label for label, name in enumerate(listing.classes)}
    own = Own(
        images=Split(images[: len(positions)], np.array([position_of[item.label] for item in items], dtype=np.int64)),
        classes=listing.classes,
        parts=[item.part for item in items],
        names=[item.name for item in items],
        groups=[item.group for item in items] if group else (),
        glances=glances,
    )
    found = divided(own, name=place.stem or "data", location=str(named), source=str(place), fit=fit)
    # All counts are of the images that are used: a broken one may have a header, a size and a group.
    remarks = (
        *listing.remarks,
        *([about_groups(items)] if group else ()),
        *left_out(broken),
        *_about_shape([header_of[item.path] for item in items], shape, chosen=not size),
        *found.remarks,
    )
    return replace(found, remarks=remarks)


def _for_each(items: Sequence[Item], function: Callable[[Item], _T]) -> tuple[list[Item], list[_T], dict[str, str]]:
    """Call a function for every image, in threads.

    Returns:
        The images without an error, their results, and the errors of the others by name.
    """
    from concurrent.futures import ThreadPoolExecutor

    def call(item: Item) -> tuple[Item, _T | DataError]:
        try:
            return item, function(item)
        except DataError as error:
            return item, error

    # Threads suffice: Pillow decodes and resizes without the interpreter's lock.
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        results = list(pool.map(call, items))
    failed = {item.name: str(found) for item, found in results if isinstance(found, DataError)}
    done = [(item, found) for item, found in results if not isinstance(found, DataError)]
    return [item for item, _ in done], [found for _, found in done], failed


def _check_classes(listing: Listing, items: Sequence[Item], broken: Mapping[str, str]) -> None:
    """Raise an error if all training images of a class are broken."""
    remaining = {item.label for item in items if item.part in ("train", None)}
    for name in listing.classes:
        if name not in remaining:
            why = "; ".join(each.text for each in left_out(broken))
            raise DataError(f"no training image of class '{name}' can be read; {why}")


def left_out(broken: Mapping[str, str]) -> list[Remark]:
    """The remark about broken images, by name with their errors."""
    if not broken:
        return []
    text = f"{few(list(broken), 'broken image')} left out; the first: {next(iter(broken.values()))}"
    return [remark("broken-images", text, count=len(broken))]


def _shape(headers: Sequence[Header], size: int) -> tuple[int, int, int]:
    """Height, width and channels that all images are fitted to."""
    height, width = (size, size) if size else _chosen_size([(each.height, each.width) for each in headers])
    coloured = sum(not each.grey for each in headers)
    return height, width, 3 if coloured > FEW_COLOURED * len(headers) else 1


def _about_shape(headers: Sequence[Header], shape: tuple[int, int, int], *, chosen: bool) -> list[Remark]:
    """Remarks about images that are changed by the fit to a shape; `chosen` is a shape that follows from them."""
    sizes = [(each.height, each.width) for each in headers]
    height, width, channels = shape
    remarks = []
    fitted = sum(each != (height, width) for each in sizes)
    if fitted:
        smallest, largest = min(sizes, key=math.prod), max(sizes, key=math.prod)
        choice = "; data.size takes another side, and the computation grows with its square" if chosen else ""
        found = f"{smallest[1]}x{smallest[0]}"
        if smallest != largest:
            found += f" to {largest[1]}x{largest[0]}"
        text = f"images of {found} pixels are fitted to {width}x{height}, {fitted:,} of {len(sizes):,}{choice}"
        remarks.append(remark("fitted", text, count=fitted, images=len(sizes), width=width, height=height))
    grey = sum(each.grey for each in headers)
    coloured = len(headers) - grey
    if channels == 1 and coloured:
        text = (
            f"{coloured:,} of {len(headers):,} images {plural(coloured, 'is', 'are')} in colour, and made grey like "
            "the others"
        )
        remarks.append(remark("made-grey", text, count=coloured, images=len(headers)))
    elif coloured < len(headers) and channels == 3:
        text = (
            f"{grey:,} of {len(headers):,} images {plural(grey, 'is', 'are')} grey, and the others are in colour: "
            "if colour differs by class, the network may learn only that"
        )
        remarks.append(remark("grey-among-colour", text, count=grey, images=len(headers)))
    return remarks


def _chosen_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    height, width = sizes[0]
    if max(height, width) <= LARGEST_SIDE and len({*sizes}) == 1:
        return height, width
    side = min(LARGEST_SIDE, int(statistics.median(map(max, sizes))))
    return side, side


def _allocated(count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    try:
        return np.empty((count, *shape), dtype=np.uint8)
    except MemoryError as error:
        height, width, channels = shape
        gigabytes = count * height * width * channels / 1e9
        raise DataError(
            f"{count:,} images of {height} x {width} x {channels} need {gigabytes:.1f} GB of memory",
            "set data.size to a smaller side",
        ) from error
