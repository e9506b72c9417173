"""Splitting a user's own images into the three parts, with remarks on what can be misleading.

Given parts stay as they are. Missing test images are held out of the training images: a fifth of them, the same
number of every class but at most a fifth of each, chosen with a constant seed. Missing validation images are then
held out as for every data set (`hold_out`). Images with the same pixels stay in one part, and so do the images of a
group.
"""

import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capsedge.data.dataset import Dataset, described, hold_out
from capsedge.data.images import Glance, are_on_dark, is_plain
from capsedge.data.items import Part, few
from capsedge.data.remark import Remark, remark
from capsedge.data.split import Split
from capsedge.errors import DataError
from capsedge.fit import Fit
from capsedge.plural import number_of, plural

TEST_LIMIT = 10_000
TEST_SEED = 20261130
UNEVEN = 3  # ratio of the largest to the smallest class above which the error hides the smallest class
FEW_IMAGES = 20  # training images of a class, below which a remark advises more
_SAMPLE, _MOST = 200, 0.9  # images whose background is tested, and the share that must have an even one
SMALL_VALIDATION = 100  # validation images, below which one of them is more than a point of the error


@dataclass(frozen=True, eq=False)
class Own:
    """A user's images, fitted to one size and not yet split.

    Attributes:
        images: All images with their labels; `divided` changes the order of the pixels.
        classes: Class names in the order of the labels.
        parts: Part of each image given by the user; None if capsedge chooses it.
        names: Name of each image, for remarks.
        groups: Group of each image, which stays in one part; empty for no groups.
        glances: Backgrounds of a sample of the original images.
    """

    images: Split
    classes: tuple[str, ...]
    parts: Sequence[Part | None]
    names: Sequence[str]
    groups: Sequence[Hashable] = ()
    glances: Sequence[Glance] = ()


def divided(own: Own, *, name: str, location: str, source: str, fit: Fit | None = None) -> Dataset:
    """Split a user's images into a data set, in place: there may be no memory for a second copy.

    Args:
        own: The images. Their array is reordered and becomes that of the data set, part after part.
        name: Short name.
        location: Path of the images.
        source: See `Dataset`.
        fit: How they were fitted; None for the default.

    Raises:
        DataError: A class has too few images for all parts.
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
        text = f"no test images were given: {len(held):,} of {len(whole):,} images are held out for the test"
        remarks.append(remark("held-out", text, count=len(held), images=len(whole)))
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
    """Number each image so that images with equal pixels or a common group, also through others, share a number."""
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
                "from, one to validate on and one to test on"
            )


def _held_out(
    own: Own, among: NDArray[np.intp], together: NDArray[np.intp], **settings: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split positions into those that stay and those that are held out."""
    held = hold_out(own.images.labels[among], own.classes, together[among], **settings)
    return among[~held], among[held]


def _parts(whole: Split, places: Sequence[NDArray[np.intp]]) -> list[Split]:
    """Reorder the images by part in place; returns the parts as slices of their array."""
    put_in_order(whole.images, np.concatenate(places))
    ends = np.cumsum([len(each) for each in places])
    return [
        Split(whole.images[end - len(each) : end], whole.labels[each])
        for each, end in zip(places, ends.tolist(), strict=True)
    ]


def put_in_order(images: NDArray[np.uint8], order: NDArray[np.intp]) -> None:
    """Reorder like `images[:] = images[order]`, but with a copy of one image instead of all.

    Args:
        images: [N, ...]; changed in place.
        order: Every position once, [N].
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


def _uneven(train: Split, classes: tuple[str, ...]) -> list[Remark]:
    counts = np.bincount(train.labels, minlength=len(classes))
    few, many = int(counts.argmin()), int(counts.argmax())
    if counts[many] <= UNEVEN * counts[few]:
        return []
    text = (
        f"class '{classes[many]}' has {number_of(int(counts[many]), 'training image')} and '{classes[few]}' "
        f"{counts[few]:,}: compare by the balanced error, in which every class has the same weight"
    )
    return [remark("uneven-classes", text, most=int(counts[many]), fewest=int(counts[few]))]


def _few_images(train: Split, classes: tuple[str, ...]) -> list[Remark]:
    counts = np.bincount(train.labels, minlength=len(classes))
    rare = [
        f"{classes[label]} {counts[label]}"
        for label in np.argsort(counts, kind="stable")
        if counts[label] < FEW_IMAGES
    ]
    if not rare:
        return []
    shown = ", ".join(rare[:3]) + (", ..." if len(rare) > 3 else "")
    text = (
        f"{len(rare)} of {len(classes)} classes {plural(len(rare), 'has', 'have')} fewer than {FEW_IMAGES} training "
        f"images ({shown}): more images of them help more than any setting"
    )
    return [remark("few-images", text, count=len(rare), classes=len(classes), fewest=int(counts.min()))]


def _small(validation: Split) -> list[Remark]:
    count = len(validation)
    if count >= SMALL_VALIDATION:
        return []
    text = (
        f"there {plural(count, 'is', 'are')} {number_of(count, 'validation image')}, so one more wrong answer is "
        f"{100 / count:.1f} points of the validation error"
    )
    return [remark("small-validation", text, images=count)]


def background_sample(count: int) -> set[int]:
    """Positions of the images, among `count`, whose background is tested."""
    return {int(place) for place in np.linspace(0, count - 1, min(_SAMPLE, count))}


def _on_even_background(seen: Sequence[bool], fit: Fit) -> list[Remark]:
    found = sum(seen)
    if not is_plain(fit) or not seen or found < _MOST * len(seen):
        return []
    text = (
        f"{100 * found // len(seen)} % of the images show one thing on an even background: --set data.frame=figure "
        "--set data.levels=full finds it at any place and in any contrast, in inference too; leave them out if "
        "place, size or shade distinguish classes"
    )
    return [remark("even-background", text, share=found / len(seen))]


def _doubles(pixels: list[bytes], part_of: NDArray[np.object_], own: Own) -> list[Remark]:
    """Remarks on duplicate images: across parts, where they make an error too low, and in two classes."""
    remarks = []
    seen = {
        part: {pixels[i]: i for i in np.flatnonzero(part_of == part).tolist()}
        for part in ("train", "validation", "test")
    }
    for part, others, learned in (
        ("validation", ("train",), "training"),
        ("test", ("train", "validation"), "training or validation"),
    ):
        copies = [
            (own.names[i], own.names[seen[other][pixels[i]]])
            for i in np.flatnonzero(part_of == part).tolist()
            for other in others
            if pixels[i] in seen[other]
        ]
        if copies:
            which = f"{few(copies, f'{part} image')} with the same pixels as a {learned} image"
            text = f"{which}: the {part} error is too low"
            remarks.append(remark("copies-in-two-parts", text, count=len(copies)))
    first: dict[bytes, int] = {}
    same = [(first.setdefault(each, place), place) for place, each in enumerate(pixels)]
    again = [(own.names[copy], own.names[one]) for one, copy in same if one != copy]
    if again and not remarks:
        text = f"{few(again, 'image')} with the same pixels as another; copies stay in one part"
        remarks.append(remark("copies", text, count=len(again)))
    labels = own.images.labels
    both = [(own.names[copy], own.names[one]) for one, copy in same if labels[one] != labels[copy]]
    if both:
        text = f"{few(both, 'image')} with the same pixels as an image of another class: one of the two is wrong"
        remarks.append(remark("copies-in-two-classes", text, count=len(both)))
    return remarks
