"""A person's own images, divided into the three parts, with remarks on what can mislead.

Parts that were given stay as they are. Test images that were not given are held out of the training images: a fifth
of them, of every class alike many but no more than a fifth of its own, drawn with a constant seed; and then
validation images, as of every data set (`hold_out`). Images with the same pixels stay on one side, and so do those of
one group where there are groups.
"""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capsedge.data.dataset import Dataset, described, hold_out
from capsedge.data.images import Glance, are_on_dark, is_plain
from capsedge.data.listing import Part, few
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import number_of, plural

TEST_LIMIT = 10_000
TEST_SEED = 20261130
UNEVEN = 3  # times the images of the smallest class, above which an error says little of that class
FEW_IMAGES = 20  # of a class to train on
_LOOKED_AT, _MOST = 200, 0.9  # images, and the share that has to be on an even background
SMALL_VALIDATION = 100  # images of which one is a point of the error, or more


@dataclass(frozen=True, eq=False)
class Own:
    """Images as a person gave them, fitted to one size.

    Attributes:
        images: All, with their labels; `divided` puts the pixels into another order.
        classes: Class names in the order of the labels.
        parts: Of each image, the part that it was put into; None where that is left to capsedge.
        names: Of each image, for remarks.
        groups: Of each image, what it must stay together with; empty for no groups.
        glances: At some of the images, as they were given.
    """

    images: Split
    classes: tuple[str, ...]
    parts: Sequence[Part | None]
    names: Sequence[str]
    groups: Sequence[Hashable] = ()
    glances: Sequence[Glance] = ()


def divided(own: Own, *, name: str, location: str, source: str, fit: Fit | None = None) -> Dataset:
    """Make a data set of a person's images, in the memory that they lie in: there may be no room for a second copy.

    Args:
        own: The images. Their pixels are then those of the data set, part after part.
        name: Short name.
        location: Where they lay.
        source: What loads them again.
        fit: How they were fitted; the default where nothing was said.

    Raises:
        DataError: A class has too few images to be in all parts that are wanted of it.
    """
    pixels = _pixels(own.images)
    together = _together(pixels, own.groups)
    part_of = np.array([each or "train" for each in own.parts], dtype=object)
    whole = np.flatnonzero(part_of == "train")
    remarks = []
    if "test" not in part_of:
        _check_three(own, whole)
        kept, held = _held_out(own, whole, together, limit=TEST_LIMIT, seed=TEST_SEED)
        part_of[held] = "test"
        remarks.append(f"no test images were given: {len(held):,} of {len(whole):,} images are held out for the test")
        whole = kept
    if "validation" not in part_of:
        _, held = _held_out(own, whole, together)
        part_of[held] = "validation"
    places = [np.flatnonzero(part_of == part) for part in ("train", "validation", "test")]
    train, validation, test = _parts(own.images, places)
    remarks += _uneven(train, own.classes)
    remarks += _few_images(train, own.classes)
    remarks += _small(validation)
    remarks += _on_even_background([each.even for each in own.glances], fit or Fit())
    remarks += _doubles(pixels, part_of, own)
    return Dataset(
        name=name,
        title=name,
        classes=own.classes,
        train=train,
        validation=validation,
        test=test,
        fit=fit or Fit(),
        dark_background=own.images.shape[2] == 1 and are_on_dark(own.glances),
        description=described(name, train, validation, test),
        location=location,
        source=source,
        remarks=tuple(remarks),
        names=tuple([own.names[place] for place in each.tolist()] for each in places),
    )


def _together(pixels: Sequence[bytes], groups: Sequence[Hashable]) -> NDArray[np.intp]:
    """A number for each image, which those share that have the same pixels, or a group, or a third between them."""
    root: dict[Hashable, Hashable] = {}

    def find(key: Hashable) -> Hashable:
        while root.setdefault(key, key) != key:
            root[key] = key = root[root[key]]
        return key

    for place, each in enumerate(pixels):
        if groups:
            root[find(("pixels", each))] = find(("group", groups[place]))
    found = [find(("pixels", each)) for each in pixels]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(found))}
    return np.array([numbers[key] for key in found], dtype=np.intp)


def _check_three(own: Own, among: NDArray[np.intp]) -> None:
    counts = np.bincount(own.images.labels[among], minlength=len(own.classes)).tolist()
    for name, count in zip(own.classes, counts, strict=True):
        if count < 3:
            raise DataError(
                f"class '{name}' has {number_of(count, 'image')}, and at least 3 are needed: one to learn "
                "from, one to choose by and one to test on"
            )


def _held_out(
    own: Own, among: NDArray[np.intp], together: NDArray[np.intp], **settings: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Positions that stay and positions that are held out of some images."""
    held = hold_out(own.images.labels[among], own.classes, together[among], **settings)
    return among[~held], among[held]


def _parts(whole: Split, places: Sequence[NDArray[np.intp]]) -> list[Split]:
    """The images at some places, which together are all, as slices of the array that they lie in."""
    put_in_order(whole.images, np.concatenate(places))
    ends = np.cumsum([len(each) for each in places])
    return [
        Split(whole.images[end - len(each) : end], whole.labels[each])
        for each, end in zip(places, ends.tolist(), strict=True)
    ]


def put_in_order(images: NDArray[np.uint8], order: NDArray[np.intp]) -> None:
    """Do what `images[:] = images[order]` does, with one image more in memory and not all of them.

    Args:
        images: [N, ...], which are changed.
        order: Every position once.
    """
    waiting = order != np.arange(len(order))
    for start in np.flatnonzero(waiting).tolist():
        if not waiting[start]:
            continue
        first, place = images[start].copy(), start
        while (source := int(order[place])) != start:
            images[place] = images[source]
            waiting[place], place = False, source
        images[place] = first
        waiting[place] = False


def _pixels(split: Split) -> list[bytes]:
    return [hashlib.sha256(image.tobytes()).digest() for image in split.images]


def _uneven(train: Split, classes: tuple[str, ...]) -> list[str]:
    counts = np.bincount(train.labels, minlength=len(classes))
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[many] <= UNEVEN * counts[few]:
        return []
    return [
        f"class '{classes[many]}' has {number_of(int(counts[many]), 'training image')} and '{classes[few]}' "
        f"{counts[few]:,}: look at the balanced error, in which every class counts alike"
    ]


def _few_images(train: Split, classes: tuple[str, ...]) -> list[str]:
    counts = np.bincount(train.labels, minlength=len(classes))
    rare = [
        f"{classes[label]} {counts[label]}"
        for label in np.argsort(counts, kind="stable")
        if counts[label] < FEW_IMAGES
    ]
    if not rare:
        return []
    shown = ", ".join(rare[:3]) + (", ..." if len(rare) > 3 else "")
    return [
        f"{len(rare)} of {len(classes)} classes {plural(len(rare), 'has', 'have')} fewer than {FEW_IMAGES} training "
        f"images ({shown}): more images of them help more than any setting"
    ]


def _small(validation: Split) -> list[str]:
    count = len(validation)
    if count >= SMALL_VALIDATION:
        return []
    return [
        f"there {plural(count, 'is', 'are')} {number_of(count, 'validation image')}, so one more wrong answer is "
        f"{100 / count:.1f} points of the validation error"
    ]


def looked_at(count: int) -> set[int]:
    """Places of the images whose background is looked at, among so many."""
    return {int(place) for place in np.linspace(0, count - 1, min(_LOOKED_AT, count))}


def _on_even_background(seen: Sequence[bool], fit: Fit) -> list[str]:
    found = sum(seen)
    if not is_plain(fit) or not seen or found < _MOST * len(seen):
        return []
    return [
        f"{100 * found // len(seen)} % of the images show one thing on an even background: --set data.frame=figure "
        "--set data.levels=full finds it wherever it lies and however faint it is, in later images too; leave them "
        "out where place, size or shade tell classes apart"
    ]


def _doubles(pixels: list[bytes], part_of: NDArray[np.object_], own: Own) -> list[str]:
    """What is there twice: across parts, where it makes an error too low, and under two classes."""
    remarks = []
    seen = {
        part: {pixels[i]: i for i in np.flatnonzero(part_of == part).tolist()}
        for part in ("train", "validation", "test")
    }
    for part, others in (("validation", ("train",)), ("test", ("train", "validation"))):
        copies = [
            f"{own.names[i]} of {own.names[seen[other][pixels[i]]]}"
            for i in np.flatnonzero(part_of == part).tolist()
            for other in others
            if pixels[i] in seen[other]
        ]
        if copies:
            remarks.append(
                f"{few(copies, f'{part} image')} with the pixels of an image to learn from: the {part} error is "
                "too low"
            )
    first: dict[bytes, int] = {}
    same = [(first.setdefault(each, place), place) for place, each in enumerate(pixels)]
    again = [f"{own.names[copy]} of {own.names[one]}" for one, copy in same if one != copy]
    if again and not remarks:
        remarks.append(f"{few(again, 'image')} with the pixels of another; copies stay on one side")
    labels = own.images.labels
    both = [f"{own.names[copy]} of {own.names[one]}" for one, copy in same if labels[one] != labels[copy]]
    if both:
        remarks.append(f"{few(both, 'image')} with the pixels of an image of another class: one of the two is wrong")
    return remarks
