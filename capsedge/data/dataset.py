"""A data set in memory: three splits, of which the validation part is the same for every recipe.

Validation is held out of the training images once and for all: `min(5000, train // 5)` images, the same number of
every class (`that // classes`, but at most a fifth of the class and at least one), drawn by one permutation for each
class with a constant seed. Both parts keep the order of the files. The test images stay as they were distributed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from capsedge.data.overlap import Overlaid
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import number_of

VALIDATION_LIMIT = 5000
VALIDATION_SEED = 20190527
OVERLAP_SEED = 20171026  # of the training part; the others add 1 and 2
MULTI_MNIST_REACH = 4


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images to train on, to choose by and to report on.

    Attributes:
        name: Name of the known data set, or of the folder.
        title: Its name for people, such as `Fashion-MNIST`.
        classes: Class names in the order of the labels.
        train: Images to train on; of overlapped ones a virtual set.
        validation: Images that every choice, threshold and verdict rests on.
        test: Images that are reported on and never used to choose.
        fit: How images were fitted to `shape`, and how later ones must be.
        dark_background: Whether the images, as they were given, show light things on a dark background; None where
            they need no padding, so that what is fitted tells (`wants_dark_background`).
        description: What it is in words, with the number of images; it travels in contracts, so it holds no path.
        location: Where it lay on this machine, for the screen only.
        source: What loads it again from anywhere on this machine: the known name, or the folder's absolute path.
        remarks: What was passed over or can mislead, one line each.
        names: Names of the training, of the validation and of the test images, where they have any.

    Raises:
        DataError: A split is empty, differs in shape from the others or has labels without a class.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    train: Split | Overlaid
    validation: Split
    test: Split
    fit: Fit
    description: str
    location: str
    source: str
    remarks: tuple[str, ...] = ()
    names: tuple[Sequence[str], ...] = ((), (), ())
    dark_background: bool | None = None

    def __post_init__(self) -> None:
        for part, split in (("training", self.train), ("validation", self.validation), ("test", self.test)):
            if len(split) == 0:
                raise DataError(f"data set '{self.name}' has no {part} images")
            if split.shape != self.shape:
                raise DataError(
                    f"data set '{self.name}' has training images of {_size(self.shape)} "
                    f"and {part} images of {_size(split.shape)}"
                )
            if split.labels_per_image != self.labels_per_image:
                raise DataError(
                    f"data set '{self.name}' has {number_of(self.labels_per_image, 'label')} for a training image "
                    f"and {split.labels_per_image} for a {part} image"
                )
            labels = split.base.labels if isinstance(split, Overlaid) else split.labels
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise DataError(
                    f"data set '{self.name}' has {number_of(len(self.classes), 'class')} and {part} labels "
                    f"from {labels.min()} to {labels.max()}"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        return self.train.shape

    @property
    def labels_per_image(self) -> int:
        """1, or 2 where each image shows two."""
        return self.train.labels_per_image

    def sha256(self) -> str:
        """Hash of the classes and of the three splits: pixels and labels, or what decides those of a virtual set."""
        digest = hashlib.sha256(repr((self.classes, self.shape)).encode())
        for split in (self.train, self.validation, self.test):
            for part in split.content():
                digest.update(part)
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
    held = hold_out(train.labels, classes)
    kept, held_out = _part(train, ~held), _part(train, held)
    return Dataset(
        name=name,
        title=title,
        classes=classes,
        train=kept,
        validation=held_out,
        test=test,
        fit=fit or Fit(),
        description=described(title, kept, held_out, test),
        location=location,
        source=source,
    )


def described(title: str, train: Split, validation: Split, test: Split) -> str:
    """A data set in words."""
    return f"{title}: {len(train):,} training, {len(validation):,} validation, {number_of(len(test), 'test image')}"


def overlapped(dataset: Dataset, reach: int, *, title: str, evaluation_images: int) -> Dataset:
    """Make a data set whose images are two of another's, of different classes, laid over each other.

    The three parts stay disjoint, because each pairs its own images only. Validation and test images are fixed: of
    the virtual set of each part, items that are spread evenly, so that as many images as can be are the first of one.

    Args:
        dataset: The single images.
        reach: Largest shift of each, in pixels; 1 or more.
        title: What the single images are called in the description.
        evaluation_images: Most validation images, and most test images. No part has more of them than single ones:
            more pairs of the same images would tell less than their number says.

    Raises:
        DataError: A part has images of fewer than three classes.
    """
    parts = {"training": _single(dataset.train), "validation": dataset.validation, "test": dataset.test}
    train, validation, test = (
        _overlaid(dataset.name, part, split, reach, OVERLAP_SEED + position)
        for position, (part, split) in enumerate(parts.items())
    )
    held, tested = (part.spread(min(evaluation_images, len(part.base))) for part in (validation, test))
    # By its source, because a person's folder may have any name.
    multi = dataset.source == "mnist" and reach == MULTI_MNIST_REACH
    counts = (
        f"{len(train):,} virtual training images of {len(train.base):,} single ones, "
        f"{len(held):,} validation images of {len(validation.base):,}, "
        f"{len(tested):,} test images of {len(test.base):,}"
    )
    overlapped_title = "MultiMNIST (overlapped MNIST)" if multi else f"overlapped {title}"
    return replace(
        dataset,
        title=overlapped_title,
        name="multi-mnist" if multi else f"overlapped-{dataset.name}",
        names=((), (), ()),  # each shows two
        train=train,
        validation=held,
        test=tested,
        description=f"{overlapped_title}, two images each shifted by up to {reach} pixels: {counts}",
    )


def hold_out(
    labels: NDArray[np.int64],
    classes: tuple[str, ...],
    groups: NDArray[np.intp] | None = None,
    *,
    limit: int = VALIDATION_LIMIT,
    seed: int = VALIDATION_SEED,
) -> NDArray[np.bool_]:
    """Choose what is held out of the images with these labels (the rule is at the top).

    Args:
        labels: Of all images.
        classes: Class names in the order of the labels.
        groups: Of each image, a number that those share which stay on one side; None where each is on its own. A
            group goes whole, so more may be held out than without groups; one whose going would leave no image of a
            class stays.
        limit: Most images to hold out, of single ones.
        seed: Of the permutations.

    Returns:
        Whether each image is held out.

    Raises:
        DataError: A class has fewer than two images, or all in one group, so it cannot be on both sides.
    """
    share = min(limit, len(labels) // 5) // len(classes)
    held = np.zeros(len(labels), dtype=np.bool_)
    whole = _groups(groups)
    left = np.bincount(labels, minlength=len(classes))
    for name, count in zip(classes, left, strict=True):
        if count < 2:
            raise DataError(
                f"class '{name}' has {number_of(count, 'training image')}; at least 2 are needed, "
                "because one of them is held out for validation"
            )
    for label, name in enumerate(classes):
        members = np.flatnonzero(labels == label)
        # RandomState, because numpy promises that its stream never changes; Generator's may.
        order = np.random.RandomState(seed + label).permutation(len(members))
        wanted = max(1, min(share, len(members) // 5))
        for member in members[order]:
            if held[members].sum() >= wanted:
                break
            going = whole(member)
            after = left - np.bincount(labels[going], minlength=len(classes)) * ~held[going[0]]
            if not held[going[0]] and after.all():
                held[going], left = True, after
        if not held[members].any():
            raise DataError(
                f"the {len(members)} images of class '{name}' belong together, with each other or with all of "
                "another class (data.group, or the same pixels), so none can be held out: add others"
            )
    return held


def _groups(groups: NDArray[np.intp] | None) -> Callable[[int], NDArray[np.intp]]:
    """From an image to all images of its group."""
    if groups is None:
        return lambda member: np.array([member])
    order = np.argsort(groups, kind="stable")
    starts = np.searchsorted(groups[order], np.arange(groups.max() + 2))
    return lambda member: order[starts[groups[member]] : starts[groups[member] + 1]]


def _part(split: Split, chosen: NDArray[np.bool_]) -> Split:
    return Split(split.images[chosen], split.labels[chosen])


def _overlaid(name: str, part: str, split: Split, reach: int, seed: int) -> Overlaid:
    try:
        return Overlaid(split, reach, seed)
    except DataError as error:
        raise DataError(f"data set '{name}', {part} images: {error}") from error


def _single(part: Split | Overlaid) -> Split:
    if isinstance(part, Overlaid):
        raise TypeError("the data set is overlapped already")
    return part


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
