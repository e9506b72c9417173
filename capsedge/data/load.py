"""Loading a data set into memory, by its name or from a folder or file."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from capsedge.data.arrays import load_arrays
from capsedge.data.cifar import find_cifar, load_cifar
from capsedge.data.dataset import Dataset, assemble, overlapped
from capsedge.data.folder import load_folder
from capsedge.data.idx import idx_files, load_idx
from capsedge.data.known import (
    DATA_VARIABLE,
    KNOWN,
    SHIPPED_SUBSET,
    SUBSET,
    Known,
    cache_folder,
    find,
    known,
    own_folder,
    place_of,
)
from capsedge.data.split import Split
from capsedge.errors import DataError, WrongUse
from capsedge.files import refusal
from capsedge.fit import Fit
from capsedge.recipe import LARGEST_SIDE, SIZE_BY_IMAGES, SMALLEST_SIDE, DataRecipe

Parts = tuple[tuple[str, ...], Split, Split]  # class names, all training images, test images


def load_dataset(
    source: str,
    *,
    size: int = 0,
    fit: Fit | None = None,
    overlap: int = 0,
    evaluation_images: int = 10_000,
    group: str = "",
) -> Dataset:
    """Load a data set without downloading anything (see `download`).

    A known name is searched in $CAPSEDGE_DATA, in /usr/share/datasets and in the cache folder. If `fashion-mnist` is
    in none of them, the real subset that ships with capsedge is loaded, under its own name.

    Args:
        source: `fashion-mnist`, `mnist`, `cifar-10`, `fashion-mnist-subset`, or a path: a folder with the four IDX
            files (and optionally a `classes.txt`), with CIFAR-10's archive or its files, or with images
            (`capsedge.data.listing`); a .csv that lists images; an .npz of arrays. A folder with a known name is
            given as `./mnist`.
        size: Side in pixels that the images are fitted to, 8 or more; 0 chooses it by the images: their size if all
            have the same, in a folder or list up to 48; otherwise the median of the longer sides, at most 48.
        fit: How they are fitted; None for the default.
        overlap: 0 for single images. Otherwise each image shows two images of different classes, each shifted by up
            to this many pixels, on a canvas larger by twice that.
        evaluation_images: Most overlapped images to validate on, and to test on; at most as many as the part has
            single images.
        group: For a folder or a list: a regular expression. Images in whose names it finds the same text stay in one
            part when parts are held out.

    Raises:
        WrongUse: There is no such name or folder, or a number is out of range.
        DataError: The data is not on this machine, is damaged or has another format, or cannot be overlapped.
    """
    if size and not SMALLEST_SIDE <= size <= LARGEST_SIDE:
        raise WrongUse(
            f"data.size: expected {SMALLEST_SIDE} to {LARGEST_SIDE:,} pixels, got {size}; {SIZE_BY_IMAGES}"
        )
    if overlap < 0:
        raise WrongUse(f"data.overlap: expected a shift in pixels, or 0 for single images, got {overlap}")
    if evaluation_images < 1:
        raise WrongUse(f"data.evaluation_images: expected 1 or more, got {evaluation_images}")
    dataset = _load(source, size, fit or Fit(), group)
    if not overlap:
        return dataset
    title = KNOWN[dataset.source].title if dataset.source in KNOWN else dataset.name
    return overlapped(dataset, overlap, title=title, evaluation_images=evaluation_images)


def check_source(source: str) -> None:
    """Refuse a source that does not exist, before anything else is loaded.

    Raises:
        WrongUse: There is no such name or folder.
        DataError: It is a path, and nothing is there.
    """
    if source not in KNOWN and not place_of(source).exists():
        known(source)


def dataset_of(recipe: DataRecipe, *, source: str | None = None) -> Dataset:
    """Load the images of a recipe.

    Args:
        recipe: Source, size, fit, group and overlap.
        source: Replaces the recipe's source.

    Raises:
        WrongUse: There is no such source.
        DataError: The data is not on this machine, or damaged.
    """
    return load_dataset(
        source or recipe.source,
        size=recipe.size,
        fit=recipe.fit,
        overlap=recipe.overlap,
        evaluation_images=recipe.evaluation_images,
        group=recipe.group,
    )


def _load(source: str, size: int, fit: Fit, group: str) -> Dataset:
    place = place_of(source)
    try:
        if place.is_dir():
            os.scandir(place).close()  # a folder that cannot be read is named itself, not a file that may be in it
        if source not in KNOWN and place.exists() and not _has_parts(place):
            return _load_own(place, size, fit, group)
        if group:
            raise WrongUse(
                f"data.group is for a folder or a list of images, and '{source}' is neither", "leave it out"
            )
        if source in KNOWN or not place.exists():
            return _load_known(source, size, fit)
        return _load_folder(place, size, fit)
    except OSError as error:
        refused = refusal(error)
        raise DataError(f"data set '{source}' cannot be read: {refused.text}", refused.advice) from error


def _load_known(name: str, size: int, fit: Fit) -> Dataset:
    known(name)
    folder = find(name)
    if folder is None and name == "fashion-mnist":
        name, folder = SUBSET, SHIPPED_SUBSET
    entry, cached = known(name), cache_folder() / name
    if folder is None:
        raise DataError(
            f"data set '{name}' is not on this machine",
            f"{_download_command(name)} fetches it, or put {entry.wanted} into '{cached}' (from {entry.home})",
        )
    again = f"{_download_command(name)} fetches it again"
    with _advising(again if folder == cached else _advice(name, folder, entry)):
        classes, train, test = _read_known(folder, size, fit, entry)
    return assemble(
        train, test, name=name, title=entry.title, classes=classes, location=str(folder), source=name, fit=fit
    )


def _read_known(folder: Path, size: int, fit: Fit, entry: Known) -> Parts:
    if entry.form == "idx":
        return load_idx(folder, size=size, fit=fit, classes=entry.classes)
    if found := find_cifar(folder):
        return load_cifar(found, size=size, fit=fit)
    raise DataError(f"'{folder}' has no file '{entry.wanted}', nor what they unpack to")


def _load_folder(path: Path, size: int, fit: Fit) -> Dataset:
    classes, train, test = _read_folder(path, size, fit)
    name = path.resolve().name or "data"
    source = str(path.resolve())
    return assemble(train, test, name=name, title=name, classes=classes, location=str(path), source=source, fit=fit)


def _read_folder(path: Path, size: int, fit: Fit) -> Parts:
    if found := find_cifar(path):
        with _advising(f"CIFAR-10: see {KNOWN['cifar-10'].home}"):
            return load_cifar(found, size=size, fit=fit)
    return load_idx(path, size=size, fit=fit)


def _has_parts(place: Path) -> bool:
    """Whether a path has the files of a format with a training and a test part: CIFAR-10 or IDX."""
    return bool(find_cifar(place)) or (place.is_dir() and bool(idx_files(place)))


def _load_own(place: Path, size: int, fit: Fit, group: str) -> Dataset:
    if place.is_dir() or place.suffix.lower() == ".csv":
        return load_folder(place, size=size, fit=fit, group=group)
    if place.suffix.lower() == ".npz":
        return load_arrays(place, size=size, fit=fit, group=group)
    raise DataError(
        f"'{place}' is a file; a data set is a folder with IDX files or with images, a .csv that lists images, an "
        f".npz of arrays, or {KNOWN['cifar-10'].wanted}"
    )


def _advice(name: str, folder: Path, entry: Known) -> str:
    """Advice for damaged files in a folder that is searched before the cache folder, so that no download helps."""
    home = f"{entry.title}: see {entry.home}"
    if folder != own_folder(name):
        return home
    command = _download_command(name)
    return f"replace the files there, or remove '{folder}' or unset {DATA_VARIABLE} and run {command}; {home}"


def _download_command(name: str) -> str:
    return f"capsedge data {name} --download"


@contextmanager
def _advising(advice: str) -> Iterator[None]:
    """Add to errors about the files where to get them."""
    try:
        yield
    except DataError as error:
        raise DataError(error.text, f"{error.advice} ({advice})" if error.advice else advice) from error
