"""A data set in memory: three splits, of which the validation part is the same for every recipe.

Validation is held out of the training images once and for all: `min(5000, train // 5)` images, the same number of
every class (`that // classes`, but at most a fifth of the class and at least one), drawn by one permutation for each
class with a constant seed. Both parts keep the order of the files. The test images stay as they were distributed.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Fit
from capsedge.errors import DataError

VALIDATION_LIMIT = 5000
VALIDATION_SEED = 20190527


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    Attributes:
        images: uint8 [N, height, width, channels], with 1 or 3 channels.
        labels: int64 [N], positions in the data set's classes.

    Raises:
        DataError: The arrays are of another type or shape.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in {1, 3}:
            raise DataError(
                f"a split wants images of uint8 [N, height, width, 1 or 3], and was given {_words(images)}"
            )
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise DataError(f"a split wants labels of int64 [{len(images)}], and was given {_words(labels)}")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on, to choose by and to report on.

    Attributes:
        name: Name of the known data set, or of the folder.
        classes: Class names in the order of the labels.
        train: Images to train on.
        validation: Images that every choice, threshold and verdict rests on.
        test: Images that are reported on and never used to choose.
        fit: How images were fitted to `shape`, and how later ones must be.
        description: What it is in words, with the number of images; it travels in contracts, so it holds no path.
        location: Where it lay on this machine, for the screen only.
        source: What loads it again from anywhere on this machine: the known name, or the folder's absolute path.

    Raises:
        DataError: A split is empty, differs in shape from the others or has labels without a class.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    fit: Fit
    description: str
    location: str
    source: str

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            if len(split) == 0:
                raise DataError(f"data set '{self.name}' has no {part} images")
            if split.images.shape[1:] != self.shape:
                raise DataError(
                    f"data set '{self.name}' has training images of {_size(self.shape)} "
                    f"and {part} images of {_size(split.images.shape[1:])}"
                )
            if split.labels.min() < 0 or split.labels.max() >= len(self.classes):
                raise DataError(
                    f"data set '{self.name}' has {len(self.classes)} classes and {part} labels "
                    f"from {split.labels.min()} to {split.labels.max()}"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    def sha256(self) -> str:
        """Hash of the classes, and of every pixel and label of the three splits, in order."""
        digest = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for split in (self.train, self.validation, self.test):
            digest.update(np.ascontiguousarray(split.images).data)
            digest.update(np.ascontiguousarray(split.labels).data)
        return digest.hexdigest()


def assemble(
    train: Split,
    test: Split,
    *,
    name: str,
    title: str,
    classes: tuple[str, ...],
    location: str,
    source: str,
    fit: Fit | None = None,
) -> Dataset:
    """Make a data set of the images as they were distributed: hold the validation part out and describe the whole.

    Args:
        train: All training images.
        test: The test images.
        name: Short name.
        title: Name for the description.
        classes: Class names in the order of the labels.
        location: Where the images lay.
        source: What loads them again.
        fit: How they were fitted; the default where nothing was said.

    Raises:
        DataError: The parts do not fit each other, or a class has fewer than two training images.
    """
    kept, held_out = hold_out(train, classes)
    counts = f"{len(kept):,} training, {len(held_out):,} validation, {len(test):,} test images"
    return Dataset(
        name=name,
        classes=classes,
        train=kept,
        validation=held_out,
        test=test,
        fit=fit or Fit(),
        description=f"{title}: {counts}",
        location=location,
        source=source,
    )


def hold_out(split: Split, classes: tuple[str, ...]) -> tuple[Split, Split]:
    """Divide the training images into those to train on and those to validate on (the rule is at the top).

    Raises:
        DataError: A class has fewer than two images, so it cannot be in both.
    """
    share = min(VALIDATION_LIMIT, len(split) // 5) // len(classes)
    held_out = np.zeros(len(split), dtype=np.bool_)
    for label, name in enumerate(classes):
        members = np.flatnonzero(split.labels == label)
        if len(members) < 2:
            raise DataError(
                f"class '{name}' has {len(members)} training images; at least 2 are needed, "
                "because one of them is held out for validation"
            )
        # RandomState, because numpy promises that its stream never changes; Generator's may.
        order = np.random.RandomState(VALIDATION_SEED + label).permutation(len(members))
        held_out[members[order[: max(1, min(share, len(members) // 5))]]] = True
    return _part(split, ~held_out), _part(split, held_out)


def _part(split: Split, chosen: NDArray[np.bool_]) -> Split:
    return Split(split.images[chosen], split.labels[chosen])


def _words(array: NDArray[np.generic]) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
