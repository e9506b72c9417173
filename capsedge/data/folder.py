"""Folders of images: `train/<class>/*` and `test/<class>/*`."""

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Fit
from capsedge.data.images import IMAGE_SUFFIXES, decode_image, fit_image, is_grey, is_hidden
from capsedge.data.split import Split
from capsedge.errors import DataError

_MOST_THREADS = 8


def load_folder(folder: Path, *, size: int = 0, fit: Fit | None = None) -> tuple[tuple[str, ...], Split, Split]:
    """Load the images of a folder; hidden files and files of other suffixes are passed over.

    Args:
        folder: It holds `train/` and `test/`, each with one folder for each class.
        size: Side in pixels to fit the images to; 0 takes the height and width of the first by path.
        fit: How to fit images of another size.

    Returns:
        Class names (the sorted names of the folders in `train/`), all training images, the test images. They have
        one channel if every image is grey, else three.

    Raises:
        DataError: A folder is missing or empty, `test/` has a class that `train/` has not, or an image is damaged.
    """
    classes = _classes(folder, "train")
    _check_test(folder, classes)
    train, test = (_listed(folder / part, classes) for part in ("train", "test"))
    paths = [path for path, _ in train + test]
    height, width = (size, size) if size else _first_size(paths[0])
    channels = 1 if all(map(is_grey, paths)) else 3
    shape = height, width, channels
    return classes, _split(train, shape, fit or Fit()), _split(test, shape, fit or Fit())


def _classes(folder: Path, part: str) -> tuple[str, ...]:
    place = folder / part
    if not place.is_dir():
        raise DataError(f"'{folder}' has no folder '{part}'; images are expected in {part}/<class>/")
    names = tuple(sorted(path.name for path in _visible(place) if path.is_dir()))
    if part == "train" and len(names) < 2:
        raise DataError(f"'{place}' wants a folder for each of two or more classes, and has {len(names)}")
    return names


def _check_test(folder: Path, classes: tuple[str, ...]) -> None:
    for name in _classes(folder, "test"):
        if name not in classes:
            raise DataError(
                f"'{folder / 'test'}' has a class '{name}' that '{folder / 'train'}' has not; "
                f"there are: {', '.join(classes)}"
            )


def _listed(place: Path, classes: tuple[str, ...]) -> list[tuple[Path, int]]:
    """The images of one part in the order of their paths, each with its label."""
    images: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        if not (place / name).is_dir():
            continue  # test/ need not have every class
        paths = sorted(path for path in _visible(place / name) if path.suffix.lower() in IMAGE_SUFFIXES)
        if not paths:
            raise DataError(f"'{place / name}' has no images; files ending in {', '.join(IMAGE_SUFFIXES)} are read")
        images += [(path, label) for path in paths]
    if not images:
        raise DataError(f"'{place}' has no images; they are expected in {place.name}/<class>/")
    return images


def _visible(place: Path) -> Iterable[Path]:
    return (path for path in place.iterdir() if not is_hidden(path.relative_to(place)))


def _first_size(path: Path) -> tuple[int, int]:
    image = decode_image(path)
    return image.height, image.width


def _split(images: list[tuple[Path, int]], shape: tuple[int, int, int], fit: Fit) -> Split:
    from concurrent.futures import ThreadPoolExecutor

    pixels = _room(len(images), shape)

    def fill(position: int) -> None:
        pixels[position] = fit_image(decode_image(images[position][0]), shape, fit)

    # Threads suffice: Pillow decodes and resizes without the interpreter's lock.
    with ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool:
        list(pool.map(fill, range(len(images))))  # to take the results raises the first error by path
    return Split(pixels, np.array([label for _, label in images], dtype=np.int64))


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
