"""Arrays in an .npz file: images and labels, in one part or several, under the common names.

`x_train` and `y_train` are Keras's names, `train_images` and `train_labels` MedMNIST's; `images` and `labels` are
accepted, too. A label is a number or its class's name; an array `classes` can name the numbers. Other arrays are
skipped without reading them. Missing test and validation parts are held out, as for a folder.
"""

import errno
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.data.dataset import Dataset
from capsedge.data.images import fit_images, glance
from capsedge.data.items import PARTS, Part, few
from capsedge.data.own import Own, background_sample, divided
from capsedge.data.remark import Remark, remark
from capsedge.data.split import Split
from capsedge.errors import DataError, WrongUse
from capsedge.fit import Fit
from capsedge.plural import number_of

_IMAGES, _LABELS = frozenset({"x", "images", "image", "data"}), frozenset({"y", "labels", "label", "targets"})
_NAMES = ("classes", "class_names", "label_names")
Labels = NDArray[np.int64] | NDArray[np.str_]
WANTED = "images and labels, or the same with train_, val_ and test_ before (or _train after) the name"


def load_arrays(path: Path, *, size: int = 0, fit: Fit | None = None, group: str = "") -> Dataset:
    """Load an .npz file.

    Args:
        path: A file with uint8 images [N, height, width] or [N, height, width, 1 or 3], and labels [N] or [N, 1]:
            integers, or names as text or as bytes in UTF-8. An optional array `classes` has the names of the classes
            in order; without it, names are sorted.
        size: Side in pixels to fit the images to; 0 keeps their size.
        fit: How to fit them; None for the default.
        group: Must be empty, because images in an .npz file have no names.

    Raises:
        DataError: The file is damaged, or has no such arrays.
        WrongUse: `group` is not empty.
    """
    if group:
        raise WrongUse(
            "data.group finds text in the names of images, and images in an .npz file have none", "leave it out"
        )
    fit = fit or Fit()
    own, remarks = _own(path, size, fit)
    _check_two(path, own)
    found = divided(own, name=path.stem, location=str(path), source=str(path.resolve()), fit=fit)
    return replace(found, remarks=(*remarks, *found.remarks))


def read_arrays(path: Path) -> Own:
    """Read the images of an .npz file without splitting them, with any number of classes; see `load_arrays`."""
    return _own(path, 0, Fit())[0]


def _own(path: Path, size: int, fit: Fit) -> tuple[Own, list[Remark]]:
    arrays, others = _read(path)
    remarks = [remark("array-skipped", f"array '{name}' is skipped") for name in others]
    found = _by_part(path, arrays)
    parts = [part for part, kind in found if kind == "images" and (part, "labels") in found]
    if not parts or not {None, "train"} & {*parts}:
        raise DataError(f"'{path}': expected {WANTED}, got {', '.join([*arrays, *others]) or 'nothing'}")
    remarks += [
        remark("part-skipped", f"{kind} of part {part} are skipped: the part has only one of images and labels")
        for part, kind in found
        if part not in parts
    ]
    images = [_images(path, found[part, "images"]) for part in parts]
    labels = [_labels(path, found[part, "labels"], len(each)) for part, each in zip(parts, images, strict=True)]
    if len({each.shape[1:] for each in images}) > 1:
        raise DataError(f"the parts of '{path}' have images of different sizes")
    of_each = [part for part, each in zip(parts, labels, strict=True) for _ in each]
    if len({each.dtype.kind == "U" for each in labels}) > 1:
        raise DataError(
            f"the parts of '{path}' have different kinds of labels", "use names in all parts, or numbers in all"
        )
    classes, numbers = _classes(path, arrays, cast(Labels, np.concatenate(labels)))
    arrays.clear()
    found.clear()  # frees the images that `_joined` has copied
    joined = _joined(images)
    sample = (Image.fromarray(joined[place].squeeze()) for place in background_sample(len(joined)))
    own = Own(
        images=Split(fit_images(joined, size, fit), numbers),
        classes=classes,
        parts=of_each,
        names=[f"image {number}" for number in range(len(numbers))],
        glances=[*map(glance, sample)],
    )
    return own, remarks


def _by_part(
    path: Path, arrays: dict[str, NDArray[np.generic]]
) -> dict[tuple[Part | None, str], NDArray[np.generic]]:
    """The images and the labels of each part."""
    found: dict[tuple[Part | None, str], NDArray[np.generic]] = {}
    for name, values in arrays.items():
        kind = _kind(name)
        if kind in found:
            raise DataError(
                f"'{path}' has two arrays of {kind[1]} for the same part, one of them '{name}'", "leave one out"
            )
        if kind:
            found[kind] = values
    return found


def _joined(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Join all images in one array; each part is freed as soon as it is copied."""
    if len(parts) == 1:
        return parts.pop()
    every = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), dtype=np.uint8)
    end = len(every)
    while parts:
        part = parts.pop()
        every[end - len(part) : end] = part
        end -= len(part)
    return every


def _check_two(path: Path, own: Own) -> None:
    trained = {
        label for label, part in zip(own.images.labels.tolist(), own.parts, strict=True) if part in (None, "train")
    }
    if len(trained) < 2:
        raise DataError(
            f"'{path}' has training images of {number_of(len(trained), 'class')}, and two or more are expected"
        )


def _read(path: Path) -> tuple[dict[str, NDArray[np.generic]], list[str]]:
    """Arrays with recognized names, and the names of the others."""
    wanted = f"'{path}' cannot be read as an .npz file of plain arrays"
    arrays: dict[str, NDArray[np.generic]] = {}
    try:
        with np.load(path, allow_pickle=False) as file:
            others = [name for name in file.files if not _kind(name) and name.lower() not in _NAMES]
            for name in (each for each in file.files if each not in others):
                try:
                    arrays[name] = np.asarray(file[name])
                except ValueError as error:
                    raise DataError(
                        f"{wanted}: '{name}' is damaged, or holds Python objects, which can run code when they are "
                        f"read",
                        f"save texts with {name}=np.array({name}, dtype=str)",
                    ) from error
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{wanted}: it is damaged, or larger than this machine's memory") from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the system, such as a missing permission; damaged offsets lead to EINVAL
        # Any kind: damaged bytes lead zipfile to NotImplementedError, numpy to TokenError and more.
        raise DataError(f"{wanted}: it is damaged, or has another format ({type(error).__name__})") from error
    return arrays, others


def _kind(name: str) -> tuple[Part | None, str] | None:
    """Part and kind of an array by its name, such as `x_train`; None for another name."""
    words = name.lower().replace("-", "_").split("_")
    parts = [PARTS[word] for word in words if word in PARTS]
    others = [word for word in words if word not in PARTS]
    if len(parts) > 1 or len(others) != 1:
        return None
    kind = "images" if others[0] in _IMAGES else "labels" if others[0] in _LABELS else ""
    return ((parts[0] if parts else None), kind) if kind else None


def _images(path: Path, values: NDArray[np.generic]) -> NDArray[np.uint8]:
    images = values[..., np.newaxis] if values.ndim == 3 else values
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"'{path}': expected images of uint8 [N, height, width] or [N, height, width, 1 or 3], got "
            f"{values.dtype} {list(values.shape)}",
            "multiply 0 to 1 by 255, and put the channels last",
        )
    return np.ascontiguousarray(images, dtype=np.uint8)


def _labels(path: Path, values: NDArray[np.generic], count: int) -> Labels:
    """The labels of a part: numbers as int64, or names as text."""
    if values.size != count or not (np.issubdtype(values.dtype, np.integer) or values.dtype.kind in "US"):
        raise DataError(
            f"'{path}': expected a label for each of {number_of(count, 'image')}, an integer or a name, got "
            f"{values.dtype} {list(values.shape)}"
        )
    if not count:
        raise DataError(f"'{path}' has a part without images")
    if values.dtype.kind in "US":
        return _texts(path, values.reshape(count), "label")
    if values.max() > np.iinfo(np.int64).max:
        raise DataError(f"'{path}' has labels that are too large for a class number, such as {values.max()}")
    return values.reshape(count).astype(np.int64)


def _texts(path: Path, values: NDArray[np.generic], what: str) -> NDArray[np.str_]:
    """Names as text, without surrounding spaces."""
    try:
        decoded = np.char.decode(values.astype(np.bytes_), "utf-8") if values.dtype.kind == "S" else values
        texts: NDArray[np.str_] = np.char.strip(decoded.astype(np.str_))
        different = np.unique(texts).tolist()
    except (UnicodeDecodeError, SystemError) as error:  # the latter for a code point beyond those of Unicode
        raise DataError(f"'{path}' has a {what} that is not UTF-8", "save it as str") from error
    for text in different:
        if not text or not text.isprintable():
            raise DataError(
                f"'{path}' has a {what} that is empty or has unprintable characters, {text!r}", "rename it"
            )
    return texts


def _classes(
    path: Path, arrays: dict[str, NDArray[np.generic]], labels: Labels
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of the classes, and labels as positions in them."""
    names = next((values for name, values in arrays.items() if name.lower() in _NAMES), None)
    if names is None:
        found, positions = np.unique(labels, return_inverse=True)
        return tuple(map(str, found.tolist())), positions.astype(np.int64)
    if names.ndim != 1 or names.dtype.kind not in "US" or len({*names.tolist()}) < len(names):
        raise DataError(
            f"'{path}': expected a list of different names as classes, got {names.dtype} {list(names.shape)}"
        )
    classes = _texts(path, names, "class").tolist()
    if labels.dtype.kind == "U":
        return tuple(classes), _positions_of(path, labels.tolist(), classes)
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(
            f"'{path}' names {number_of(len(names), 'class')} and has labels from {labels.min()} to {labels.max()}"
        )
    return tuple(classes), labels.astype(np.int64)


def _positions_of(path: Path, labels: list[str], classes: list[str]) -> NDArray[np.int64]:
    """Convert names to positions in the classes."""
    if unknown := sorted({*labels} - {*classes}):
        raise DataError(
            f"'{path}' has labels of {few(unknown, 'class')} that its list of classes lacks",
            f"there are: {', '.join(classes)}",
        )
    position = {name: place for place, name in enumerate(classes)}
    return np.array([position[name] for name in labels], dtype=np.int64)
