"""A data set in memory: three splits, with the same validation images for every recipe.

The validation images are held out of the training images: `min(5000, train // 5)` images, the same number of every
class (`that // classes`, but at most a fifth of the class and at least one), chosen by one permutation for each class
with a constant seed. Both parts keep the order of the files. The test images stay as distributed.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from capsedge.data.overlap import Overlaid
from capsedge.data.remark import Remark
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
    """Images for training, validation and test.

    Attributes:
        name: Name of the known data set, or of the folder.
        title: Display name, such as `Fashion-MNIST`.
        classes: Class names in the order of the labels.
        train: Training images; a virtual set for overlapped images.
        validation: Images for every choice, threshold and decision.
        test: Images for the reported errors; never used for a choice.
        fit: How images were fitted to `shape`, and must be fitted in inference.
        dark_background: Whether the original images show light things on a dark background; None if they need no
            padding, and so the fitted images tell (`wants_dark_background`).
        description: Title and numbers of images; part of contracts, so without a path.
        location: Path on this machine, for display only.
        source: Loads the data set again from any folder of this machine: the known name, or the absolute path.
        remarks: What was skipped or can be misleading.
        names: Names of the training, the validation and the test images, if they have names.

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
    remarks: tuple[Remark, ...] = ()
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
        """1, or 2 if each image shows two."""
        return self.train.labels_per_image

    def sha256(self) -> str:
        """Hash of the classes and the three splits: pixels and labels, or the parameters of a virtual set."""
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
    """Make a data set from images as distributed: hold out the validation images and write the description.

    Args:
        train: All training images.
        test: The test images.
        name: Short name.
        title: Name for the description.
        classes: Class names in the order of the labels.
        location: Path of the images.
        source: See `Dataset`.
        fit: How they were fitted; None for the default.

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
    """Description of a data set: title and numbers of images."""
    return f"{title}: {len(train):,} training, {len(validation):,} validation, {number_of(len(test), 'test image')}"


def overlapped(dataset: Dataset, reach: int, *, title: str, evaluation_images: int) -> Dataset:
    """Make a data set in which each image overlaps two images of another data set, of different classes.

    The three parts stay disjoint, because each pairs only its own images. Validation and test images are fixed:
    evenly spread items of each part's virtual set, so that as many images as possible are the first of a pair.

    Args:
        dataset: The single images.
        reach: Largest shift of each, in pixels; 1 or more.
        title: Name of the single images in the description.
        evaluation_images: Most validation images, and most test images. No part has more of them than single images:
            more pairs of the same images would make its standard error too small.

    Raises:
        DataError: A part has images of fewer than three classes.
    """
    parts = {"training": _single(dataset.train), "validation": dataset.validation, "test": dataset.test}
    train, validation, test = (
        _overlaid(dataset.name, part, split, reach, OVERLAP_SEED + position)
        for position, (part, split) in enumerate(parts.items())
    )
    held, tested = (part.spread(min(evaluation_images, len(part.base))) for part in (validation, test))
    # Decided by the source, because a user's folder may have any name.
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
        names=((), (), ()),  # each image shows two
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
    """Choose the images to hold out by the rule in the module's docstring.

    Args:
        labels: Labels of all images.
        classes: Class names in the order of the labels.
        groups: Group number of each image, or None for no groups. A group stays in one part, so more images may be
            held out than without groups. A group is not held out if that would leave a class without images.
        limit: Most images to hold out, without groups.
        seed: Seed of the permutations.

    Returns:
        Whether each image is held out, [N].

    Raises:
        DataError: A class has fewer than two images, or all its images are in one group, so it cannot be in both
            parts.
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
        # RandomState, because numpy guarantees that its stream never changes; Generator's may.
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
                "another class (data.group, or the same pixels), so none can be held out",
                "add others",
            )
    return held


def _groups(groups: NDArray[np.intp] | None) -> Callable[[int], NDArray[np.intp]]:
    """A function from an image to all images of its group."""
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
        raise DataError(f"data set '{name}', {part} images: {error.text}", error.advice) from error


def _single(part: Split | Overlaid) -> Split:
    if isinstance(part, Overlaid):
        raise TypeError("the data set is already overlapped")
    return part


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in shape)
