"""Arrays in an .npz file: images and labels, in one part or in several, under the names that are in use.

`x_train` and `y_train` are Keras's, `train_images` and `train_labels` MedMNIST's, `images` and `labels` anybody's.
What is not there of test and validation images is held out, as of a folder.
"""

import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.data.dataset import Dataset
from capsedge.data.images import fit_images
from capsedge.data.listing import PARTS, Part
from capsedge.data.own import Own, divided
from capsedge.data.split import Split
from capsedge.errors import DataError, WrongUse
from capsedge.fit import Fit

_IMAGES, _LABELS = frozenset({"x", "images", "image", "data"}), frozenset({"y", "labels", "label", "targets"})
_NAMES = ("classes", "class_names", "label_names")
WANTED = "images and labels, or the same with train_, val_ and test_ before (or _train after) the name"


def load_arrays(path: Path, *, size: int = 0, fit: Fit | None = None, group: str = "") -> Dataset:
    """Load an .npz file.

    Args:
        path: It holds uint8 images [N, height, width] or [N, height, width, 1 or 3], and whole numbers [N] or [N, 1]
            as labels; perhaps the names of the classes, as `classes`.
        size: Side in pixels to fit the images to; 0 keeps theirs.
        fit: How to fit them; the default where nothing is said.
        group: Must be empty: such images have no names.

    Raises:
        DataError: The file is damaged, or holds no such arrays.
        WrongUse: There is a group.
    """
    if group:
        raise WrongUse("data.group is a part of the images' names, and those of an .npz file have none: leave it out")
    fit = fit or Fit()
    own, remarks = _own(path, size, fit)
    _check_two(path, own)
    found = divided(own, name=path.stem, location=str(path), source=str(path.resolve()), fit=fit)
    return replace(found, remarks=(*remarks, *found.remarks))


def read_arrays(path: Path) -> Own:
    """The images of an .npz file as they are, not yet divided, of however many classes; see `load_arrays`."""
    return _own(path, 0, Fit())[0]


def _own(path: Path, size: int, fit: Fit) -> tuple[Own, list[str]]:
    arrays = _read(path)
    found: dict[tuple[Part | None, str], NDArray[np.generic]] = {}
    remarks = []
    for name, values in arrays.items():
        kind = _kind(name)
        if kind in found:
            raise DataError(
                f"'{path}' has two arrays of {kind[1]} for the same part, one of them '{name}': leave one out"
            )
        if kind:
            found[kind] = values
        elif name.lower() not in _NAMES:
            remarks.append(f"array '{name}' is passed over")
    parts = [part for part, kind in found if kind == "images" and (part, "labels") in found]
    if not parts or not {None, "train"} & {*parts}:
        raise DataError(f"'{path}' wants {WANTED}, and holds {', '.join(arrays) or 'nothing'}")
    remarks += [
        f"{kind} of part {part} without the other are passed over" for part, kind in found if part not in parts
    ]
    images = [_images(path, found[part, "images"]) for part in parts]
    labels = [_labels(path, found[part, "labels"], len(each)) for part, each in zip(parts, images, strict=True)]
    if len({each.shape[1:] for each in images}) > 1:
        raise DataError(f"the parts of '{path}' have images of different sizes")
    of_each = [part for part, each in zip(parts, labels, strict=True) for _ in each]
    every = np.concatenate(labels)
    classes, every = _classes(path, arrays, every)
    own = Own(
        images=Split(fit_images(np.concatenate(images), size, fit), every),
        classes=classes,
        parts=of_each,
        names=[f"image {number}" for number in range(len(every))],
    )
    return own, remarks


def _check_two(path: Path, own: Own) -> None:
    trained = {
        label for label, part in zip(own.images.labels.tolist(), own.parts, strict=True) if part in (None, "train")
    }
    if len(trained) < 2:
        raise DataError(f"'{path}' has training images of {len(trained)} class, and two or more are expected")


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, TypeError, AttributeError) as error:
        told = "it is damaged, or holds Python objects" if isinstance(error, ValueError) else str(error)
        raise DataError(f"'{path}' cannot be read as an .npz file of plain arrays: {told}") from error


def _kind(name: str) -> tuple[Part | None, str] | None:
    """The part and the kind that a name tells, such as `x_train`; None where it tells none."""
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
            f"'{path}' wants images of uint8 [N, height, width] or [N, height, width, 1 or 3], and has "
            f"{values.dtype} {list(values.shape)}: multiply 0 to 1 by 255, and put the channels last"
        )
    return images.astype(np.uint8, copy=False)


def _labels(path: Path, values: NDArray[np.generic], count: int) -> NDArray[np.int64]:
    if values.size != count or not np.issubdtype(values.dtype, np.integer):
        raise DataError(
            f"'{path}' wants a whole number for each of {count:,} images as its label, and has {values.dtype} "
            f"{list(values.shape)}"
        )
    if not count:
        raise DataError(f"'{path}' has a part without images")
    if values.max() > np.iinfo(np.int64).max:
        raise DataError(f"'{path}' has labels that are no numbers of classes, such as {values.max()}")
    return values.reshape(count).astype(np.int64)


def _classes(
    path: Path, arrays: dict[str, NDArray[np.generic]], labels: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The names of the classes, and labels that count them from 0."""
    names = next((values for name, values in arrays.items() if name.lower() in _NAMES), None)
    if names is None:
        numbers, positions = np.unique(labels, return_inverse=True)
        return tuple(str(number) for number in numbers), positions.astype(np.int64)
    if names.ndim != 1 or names.dtype.kind not in "US" or len({*names.tolist()}) < len(names):
        raise DataError(
            f"'{path}' wants a list of different names as classes, and has {names.dtype} {list(names.shape)}"
        )
    if labels.min() < 0 or labels.max() >= len(names):
        raise DataError(f"'{path}' names {len(names)} classes and has labels from {labels.min()} to {labels.max()}")
    told = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names.tolist()]
    return tuple(told), labels
