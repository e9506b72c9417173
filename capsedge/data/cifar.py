"""CIFAR-10 as it is distributed: the python and the binary version, unpacked or in the archive.

Each version has six files of images. Binary: records of one byte (the label) and 3,072 bytes (32 rows of 32 pixels in
red, then green, then blue). Python: a pickled dictionary whose `data` has such a row of 3,072 bytes for each of its
`labels`.
"""

import codecs
import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.data.images import fit_images
from capsedge.data.plain_pickle import read_plain_pickle
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import quoted

if TYPE_CHECKING:
    import tarfile

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_STEMS = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
_COLOURS, _SIDE = 3, 32
_PIXELS = _COLOURS * _SIDE * _SIDE
_CHUNK_BYTES = 1 << 20
_MOST_BYTES = 1 << 26  # twice the size of a real file; a damaged archive may state any size


_LONG_HEADERS = (b"L", b"K", b"x", b"g", b"X")
"""Types of tar members that hold the name or attributes of the next member (tar(5))."""


class Version(NamedTuple):
    """File names of one of the two versions."""

    archive: str
    folder: str
    suffix: str
    classes: str

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the six files of images; the last has the test images."""
        return tuple(stem + self.suffix for stem in _STEMS)


BINARY = Version("cifar-10-binary.tar.gz", "cifar-10-batches-bin", ".bin", "batches.meta.txt")
PYTHON = Version("cifar-10-python.tar.gz", "cifar-10-batches-py", "", "batches.meta")


class Location(NamedTuple):
    """Place of a version: the archive, or the folder with its files; `whole` if no file is missing."""

    version: Version
    path: Path
    whole: bool


class _Batch(NamedTuple):
    pixels: NDArray[np.uint8]  # [n, 3072]
    labels: NDArray[np.int64]  # [n]
    called: str


def find_cifar(place: Path) -> Location | None:
    """Find CIFAR-10 in a folder: its files there, or in the folder that its archive unpacks to, or the archive.

    A complete version is preferred. `place` may also be an archive with its distributed name.
    """
    return min(_candidates(place), key=lambda each: not each.whole, default=None)


def _candidates(place: Path) -> Iterator[Location]:
    for version in (BINARY, PYTHON):
        for folder in (place / version.folder, place):
            if count := sum((folder / file).is_file() for file in version.files):
                yield Location(version, folder, count == len(_STEMS))
        archive = place / version.archive if place.is_dir() else place
        if archive.name == version.archive and archive.is_file():
            yield Location(version, archive, True)


def load_cifar(found: Location, *, size: int = 0, fit: Fit | None = None) -> tuple[tuple[str, ...], Split, Split]:
    """Load the six files.

    Args:
        found: Their place.
        size: Side in pixels to fit the images to; 0 keeps 32.
        fit: How to fit them; None for the default.

    Returns:
        Class names (from the file that lists them, or CIFAR-10's), all training images, the test images;
        [N, height, width, 3].

    Raises:
        DataError: A file is missing, damaged or shorter than the others, or a label has no class.
    """
    version, path, _ = found
    classes: tuple[str, ...] = CLASSES
    batches = {}
    for name, called, content in _contents(version, path):
        if name == version.classes:
            classes = _class_names(version, content, called)
        else:
            batches[name] = _batch(version, content, called)
    _check(version, path, batches, classes)
    *train, test = (batches[file] for file in version.files)
    return classes, _split(train, size, fit or Fit()), _split([test], size, fit or Fit())


def _contents(version: Version, path: Path) -> Iterator[tuple[str, str, bytes]]:
    """Name, name for errors, and content of each file of the version that exists."""
    wanted = (*version.files, version.classes)
    if path.is_dir():
        for name in wanted:
            if (path / name).is_file():
                yield name, f"'{path / name}'", _read(path / name)
    else:
        yield from _unpacked(path, wanted)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error


def _unpacked(path: Path, wanted: tuple[str, ...]) -> Iterator[tuple[str, str, bytes]]:
    """Read the wanted files of an archive in memory; nothing is written to the disk."""
    import tarfile

    try:
        with gzip.open(path) as stream:
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_bounded_members()) as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    content = archive.extractfile(member) if name in wanted and member.isreg() else None
                    if content is not None:
                        yield name, f"'{name}' in '{path}'", content.read(_MOST_BYTES)
            while stream.read(_CHUNK_BYTES):  # gzip tests its checksum at the end of the stream
                pass
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"'{path}' is a damaged archive ({error})", "get it again") from error
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error


def _bounded_members() -> "type[tarfile.TarInfo]":
    """A TarInfo class that refuses long headers: tarfile reads a name of any stated length into memory."""
    import tarfile

    class Bounded(tarfile.TarInfo):
        def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
            if self.type in _LONG_HEADERS and self.size > _CHUNK_BYTES:
                raise tarfile.ReadError(f"a header of {self.size:,} bytes")
            member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
            return member

    return Bounded


def _batch(version: Version, content: bytes, called: str) -> _Batch:
    return (_python_batch if version is PYTHON else _binary_batch)(content, called)


def _binary_batch(content: bytes, called: str) -> _Batch:
    if not content or len(content) % (1 + _PIXELS):
        raise DataError(
            f"{called}: expected records of {1 + _PIXELS:,} bytes (a label and 32 x 32 pixels in 3 colours), "
            f"got {len(content):,} bytes",
            "get it again",
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, 1 + _PIXELS)
    return _Batch(records[:, 1:], records[:, 0].astype(np.int64), called)


def _python_batch(content: bytes, called: str) -> _Batch:
    entries = read_plain_pickle(content, called)
    pixels, labels = entries.get(b"data"), entries.get(b"labels")
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS or not len(pixels):
        found = f"one of {list(pixels.shape)}" if isinstance(pixels, np.ndarray) else "none"
        raise DataError(f"{called}: expected an array 'data' of [images, {_PIXELS}] bytes, got {found}")
    if not isinstance(labels, list) or not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise DataError(f"{called}: expected a list 'labels' of integers from 0, got none")
    if len(labels) != len(pixels):
        raise DataError(f"{called} holds {len(pixels):,} images and {len(labels):,} labels")
    return _Batch(pixels, np.array(labels, dtype=np.int64), called)


def _class_names(version: Version, content: bytes, called: str) -> tuple[str, ...]:
    if version is PYTHON:
        listed = read_plain_pickle(content, called).get(b"label_names")
        lines = listed if isinstance(listed, list) and all(isinstance(each, bytes) for each in listed) else []
    else:
        lines = content.removeprefix(codecs.BOM_UTF8).splitlines()
    names = tuple(line.decode("utf-8", "replace").strip() for line in lines if line.strip())
    if len(set(names)) != len(names) or len(names) < 2:
        raise DataError(f"{called}: expected two or more different class names, got {len(names)}")
    return names


def _check(version: Version, path: Path, batches: dict[str, _Batch], classes: tuple[str, ...]) -> None:
    missing = [file for file in version.files if file not in batches]
    if missing:
        raise DataError(
            f"'{path}' has no file '{missing[0]}'; of the {len(_STEMS)} files it holds {quoted(batches) or 'none'}"
        )
    _check_equal([batches[file] for file in version.files[:-1]])
    for batch in batches.values():
        if batch.labels.max() >= len(classes):
            raise DataError(
                f"{batch.called} gives label {batch.labels.max()} to image {batch.labels.argmax()}; "
                f"there are {len(classes)} classes, numbered from 0"
            )


def _check_equal(training: list[_Batch]) -> None:
    """Compare the numbers of images, because a file that was cut off between two images looks whole by itself."""
    usual = Counter(len(batch.labels) for batch in training).most_common(1)[0][0]
    for batch in training:
        if len(batch.labels) != usual:
            raise DataError(
                f"{batch.called} holds {len(batch.labels):,} images, and the other training files hold {usual:,} "
                "each",
                "get it again",
            )


def _split(batches: list[_Batch], size: int, fit: Fit) -> Split:
    labels = np.concatenate([batch.labels for batch in batches])
    planes = [batch.pixels.reshape(-1, _COLOURS, _SIDE, _SIDE).transpose(0, 2, 3, 1) for batch in batches]
    # Into a new contiguous array, because concatenate would keep the planes' memory layout.
    images = np.concatenate(planes, out=np.empty((len(labels), _SIDE, _SIDE, _COLOURS), dtype=np.uint8))
    return Split(fit_images(images, size, fit), labels)
