"""IDX files, the format of MNIST and Fashion-MNIST, plain or gzipped.

A file has four bytes of magic (0, 0, the type, the number of dimensions), each dimension as a big-endian uint32, and
the values.
"""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from capsedge.data.images import fit_images
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.files import write_atomically
from capsedge.fit import Fit
from capsedge.plural import quoted

TYPES = {0x08: "uint8", 0x09: "int8", 0x0B: "int16", 0x0C: "int32", 0x0D: "float32", 0x0E: "float64"}
UINT8 = 0x08
CLASSES_FILE = "classes.txt"

_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK_BYTES = 1 << 20
_MOST_DIMENSIONS = 8

Part = Literal["train", "test"]
# Prefixes of the file names of the two parts; MNIST uses t10k.
_PREFIXES: dict[Part, tuple[str, ...]] = {"train": ("train",), "test": ("t10k", "test")}


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one file of unsigned bytes, plain or gzipped.

    Returns:
        uint8, in the shape that the file states: of a data set, images are [n, height, width] and labels [n].

    Raises:
        DataError: The file is missing, has another format or type, or has fewer or more values than it states.
    """
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            if not zipped:
                return _parse(file, path)
            with gzip.open(file) as unzipped:
                return _parse(unzipped, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"'{path}' is a damaged gzip file ({error})", "get it again") from error
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write unsigned bytes, gzipped if the name ends in .gz; the same values always give the same bytes.

    Args:
        path: The file.
        values: uint8 of any shape of 1 to 8 axes, such as images [n, height, width] or labels [n].
    """
    header = struct.pack(f">HBB{values.ndim}I", 0, UINT8, values.ndim, *values.shape)
    content = header + np.ascontiguousarray(values).tobytes()
    write_atomically(path, _gzipped(content) if path.suffix == ".gz" else content)


def find_idx(folder: Path, part: Part, kind: Literal["images", "labels"]) -> Path | None:
    """Find a file of a data set under one of the common names, such as `train-images-idx3-ubyte.gz`, or None."""
    dimensions = 3 if kind == "images" else 1
    stems = [f"{prefix}-{kind}{dot}idx{dimensions}-ubyte" for prefix in _PREFIXES[part] for dot in "-."]
    paths = (folder / (stem + suffix) for stem in stems for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def idx_files(folder: Path) -> list[Path]:
    """The files of the four that exist in a folder."""
    parts: tuple[Part, ...] = ("train", "test")
    kinds: tuple[Literal["images", "labels"], ...] = ("images", "labels")
    found = (find_idx(folder, part, kind) for part in parts for kind in kinds)
    return [path for path in found if path is not None]


def load_idx(
    folder: Path, *, size: int = 0, fit: Fit | None = None, classes: tuple[str, ...] | None = None
) -> tuple[tuple[str, ...], Split, Split]:
    """Load the four files of a folder.

    Args:
        folder: Their folder.
        size: Side in pixels to fit the images to; 0 keeps their size.
        fit: How to fit them; None for the default.
        classes: Class names. None takes the lines of `classes.txt` in the folder, or without that file the numbers
            "0", "1", ... up to the largest training label.

    Returns:
        Class names, all training images, the test images; [N, height, width, 1].

    Raises:
        DataError: A file is missing or damaged, images and labels differ in number, or a label has no class.
    """
    train_images, train_labels = _pair(folder, "train")
    test_images, test_labels = _pair(folder, "test")
    names = classes or _listed_classes(folder) or _numbers(read_idx(train_labels))
    return (
        names,
        _split(train_images, train_labels, len(names), size, fit or Fit()),
        _split(test_images, test_labels, len(names), size, fit or Fit()),
    )


def _parse(file: io.BufferedIOBase, path: Path) -> NDArray[np.uint8]:
    zeros, code, dimensions = struct.unpack(">HBB", _header(file, 4, path))
    if zeros != 0 or code not in TYPES or not 1 <= dimensions <= _MOST_DIMENSIONS:
        raise DataError(f"'{path}' is not an IDX file: it begins with {zeros:04x}{code:02x}{dimensions:02x}")
    if code != UINT8:
        raise DataError(f"'{path}' holds {TYPES[code]} values; only unsigned bytes (type 08) can be read")
    shape = struct.unpack(f">{dimensions}I", _header(file, 4 * dimensions, path))
    count = math.prod(shape)
    values = _up_to(file, count + 1)
    if len(values) != count:
        found = "more" if len(values) > count else f"{len(values):,}"
        raise DataError(
            f"'{path}' states {' x '.join(map(str, shape))} = {count:,} values and holds {found}", "get it again"
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _header(file: io.BufferedIOBase, count: int, path: Path) -> bytes:
    content = file.read(count)
    if len(content) < count:
        raise DataError(f"'{path}' is not an IDX file: it ends within its header")
    return content


def _up_to(file: io.BufferedIOBase, count: int) -> bytearray:
    """Read at most `count` bytes in pieces, because a damaged header may state more bytes than fit into memory."""
    content = bytearray()
    while len(content) < count and (piece := file.read(min(_CHUNK_BYTES, count - len(content)))):
        content += piece
    return content


def _gzipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    # Without a name and a time, which would differ between two writings of the same values.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(content)
    return buffer.getvalue()


def _pair(folder: Path, part: Part) -> tuple[Path, Path]:
    images, labels = find_idx(folder, part, "images"), find_idx(folder, part, "labels")
    if images is None or labels is None:
        kind, dimensions = ("images", 3) if images is None else ("labels", 1)
        found = quoted(path.name for path in idx_files(folder)) or "none"
        raise DataError(
            f"'{folder}' has no file '{_PREFIXES[part][0]}-{kind}-idx{dimensions}-ubyte', nor one with .gz; "
            f"of the four files it has {found}"
        )
    return images, labels


def _split(images_path: Path, labels_path: Path, classes: int, size: int, fit: Fit) -> Split:
    images, labels = read_idx(images_path), read_idx(labels_path)
    _check_images(images, images_path)
    if labels.ndim != 1:
        raise DataError(f"'{labels_path}': expected 1 dimension (labels), got {labels.ndim}")
    if len(images) != len(labels):
        raise DataError(f"'{images_path}' holds {len(images):,} images, '{labels_path}' {len(labels):,} labels")
    if labels.max() >= classes:
        raise DataError(
            f"'{labels_path}' gives label {labels.max()} to image {labels.argmax()}; "
            f"there are {classes} classes, numbered from 0"
        )
    return Split(fit_images(images[..., np.newaxis], size, fit), labels.astype(np.int64))


def _check_images(images: NDArray[np.uint8], path: Path) -> None:
    if images.ndim != 3:
        raise DataError(f"'{path}': expected 3 dimensions (images, height, width), got {images.ndim}")
    if images.size == 0:
        raise DataError(f"'{path}' holds no pixels: it states {' x '.join(map(str, images.shape))}")


def _listed_classes(folder: Path) -> tuple[str, ...] | None:
    path = folder / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        names = tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' cannot be read as text ({error})") from error
    if len(set(names)) != len(names) or len(names) < 2:
        raise DataError(f"'{path}': expected two or more different class names, one on each line, got {len(names)}")
    return names


def _numbers(labels: NDArray[np.uint8]) -> tuple[str, ...]:
    return tuple(str(label) for label in range(int(labels.max(initial=0)) + 1))
