"""Labelled images as a model takes them: a person's folder or list, a known data set, or the run's own."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.data import Dataset, Overlaid, load_dataset
from capsedge.data.arrays import read_arrays
from capsedge.data.images import JUDGED, WHITE, Exchanges, background_of, lay_on, read_image, turning
from capsedge.data.known import KNOWN, place_of
from capsedge.data.listing import Item, few, list_labelled
from capsedge.data.listing import Part as DataPart
from capsedge.data.load import dataset_of
from capsedge.data.own import Own
from capsedge.errors import DataError, WrongUse
from capsedge.measure.evaluate.subject import EvaluatedNetwork
from capsedge.plural import number_of
from capsedge.recipe import from_values, read_values
from capsedge.records import DamagedRecord, decoded

Part = Literal["test", "validation", "train", "all"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with their labels, fitted to a model.

    Attributes:
        images: uint8 [N, height, width, channels].
        labels: Each image's class, as a position in the model's.
        names: Each image's name.
        data: What they are, in words.
        remarks: What was passed over or can mislead.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]
    data: str
    remarks: tuple[str, ...] = ()


def labelled(place: str, subject: EvaluatedNetwork, *, part: Part = "test") -> Labelled:
    """Load labelled images and fit them as a model wants them, light and dark exchanged as `infer` would.

    A folder, a list or an .npz of images in parts gives the part; one without parts gives all of its images. Nothing
    is held out: who has learned from them is not known here.

    Args:
        place: See `load_dataset`.
        subject: What they are for.
        part: Which part.

    Raises:
        WrongUse: There is no such place, or it has no such part.
        DataError: Nothing can be read, or it has a class that the model has not.
    """
    path = place_of(place)
    if (
        place not in KNOWN
        and path.exists()
        and (path.suffix.lower() == ".csv" or (path.is_dir() and _of_images(path)))
    ):
        return _listed(path, subject, part)
    if place not in KNOWN and path.exists() and path.suffix.lower() == ".npz":
        found = _of_arrays(read_arrays(path), path, part, subject.classes)
    else:
        found = _of_dataset(load_dataset(place), part, subject.classes)
    fitting = _Fitting(subject, map(_picture, found.images[:JUDGED]))
    images = np.empty((len(found.images), *subject.shape), np.uint8)
    for row, (image, name) in enumerate(zip(found.images, found.names, strict=True)):
        images[row] = fitting.fitted(_picture(image), name)
    return replace(found, images=images, remarks=(*found.remarks, *fitting.remarks()))


class _Origin(msgspec.Struct):
    """What a run's record says of its images."""

    data_source: str
    data: str
    data_sha256: str


def of_run(folder: Path, *, classes: Sequence[str], part: Part) -> Labelled:
    """The images that a run was trained, chosen and tested on, divided as they were.

    Raises:
        DataError: They are no longer here, or the folder's records are damaged.
    """
    try:
        record = decoded((folder / "run.json").read_bytes(), _Origin)
        source, told, sha256 = record.data_source, record.data, record.data_sha256
        recipe = from_values(read_values(folder / "recipe.toml"), source=str(folder / "recipe.toml"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{folder}' does not say what it was trained on ({error}): give --data") from error
    try:
        dataset = dataset_of(recipe.data, source=source)
    except (DataError, WrongUse) as error:  # nobody named this data now: the run does
        raise DataError(
            f"run '{folder}' was trained on {told}, and its data '{source}' cannot be loaded: {error}; give --data"
        ) from error
    if dataset.sha256() != sha256:
        raise DataError(
            f"run '{folder}' was trained on {told}, and '{source}' now holds other images ({dataset.description}), "
            "of which it may have learned from some: bring the first back, or give --data with images it never saw"
        )
    # What was said of the images when they were divided is no doubt about an evaluation.
    return _of_dataset(replace(dataset, remarks=()), part, classes)


def with_copies(images: Labelled, run: Path, *, classes: Sequence[str]) -> Labelled:
    """The same images, with a remark where the run of the model has learned from some of them.

    Nothing is said where the run's own images are no longer here.
    """
    try:
        learned = of_run(run, classes=classes, part="train")
    except (DataError, WrongUse):
        return images
    known = {image.tobytes() for image in learned.images}
    copies = [name for name, image in zip(images.names, images.images, strict=True) if image.tobytes() in known]
    if not copies:
        return images
    told = (
        f"{few(copies, 'image')} of {len(images.names):,} with the pixels of an image that the run has learned from"
    )
    return replace(images, remarks=(f"{told}: the error is too low", *images.remarks))


def source_of_run(folder: Path) -> str | None:
    """What loads the images of a run again; None where the folder is none."""
    try:
        return decoded((folder / "run.json").read_bytes(), _Origin).data_source
    except (OSError, DamagedRecord):
        return None


def images_for(subject: EvaluatedNetwork, data: str | None, part: Part) -> Labelled:
    """The images to evaluate a network on: those named, or of a run's network the run's own.

    Args:
        subject: The network.
        data: See `labelled`; None for the images that the run was trained, validated and tested on.
        part: Which part of them.

    Raises:
        WrongUse: No data is named, and the network lies in no run's folder.
        DataError: See `labelled` and `of_run`.
    """
    source = None if subject.run is None else source_of_run(subject.run)
    if subject.run is None or source is None:
        if data is None:
            raise WrongUse(f"'{subject.name}' is not in a run's folder: name labelled images by --data PLACE")
        return labelled(data, subject, part=part)
    if is_own(data, source):  # divided as they were for the training, which has learned from the rest
        return of_run(subject.run, classes=subject.classes, part=part)
    return with_copies(labelled(data or source, subject, part=part), subject.run, classes=subject.classes)


def is_own(data: str | None, source: str | None) -> bool:
    """Whether `data` names the images of a run, which are loaded from `source`; None names them too."""
    if data is None or source is None:
        return source is not None
    place = place_of(data)
    return data == source or (place.exists() and str(place.resolve()) == source)


def _listed(path: Path, subject: EvaluatedNetwork, part: Part) -> Labelled:
    listing = list_labelled(path)
    places = _chosen(path, [item.part for item in listing.items], part)
    items = [listing.items[place] for place in places]
    _check_classes(path, {item.label for item in items}, subject.classes)
    fitting = _Fitting(subject, _readable(items[:JUDGED]))
    images = np.empty((len(items), *subject.shape), np.uint8)  # at once: a list of them would be a second copy
    kept: list[Item] = []
    broken = []
    for item in items:
        try:
            images[len(kept)] = fitting.fitted(read_image(item.path), item.name)
            kept.append(item)
        except DataError as error:
            broken.append((item.name, str(error)))
    if not kept:
        raise DataError(f"no image of '{path}' can be read; the first: {broken[0][1]}")
    remarks = list(listing.remarks)
    if broken:
        remarks.append(f"{few([name for name, _ in broken], 'broken image')} left out; the first: {broken[0][1]}")
    which = "" if {item.part for item in kept} == {None} else f" of part {part}"
    return Labelled(
        images=images[: len(kept)],
        labels=np.array([subject.classes.index(item.label) for item in kept], np.int64),
        names=[item.name for item in kept],
        data=f"{path}: {number_of(len(kept), 'image')}{which}",
        remarks=(*remarks, *fitting.remarks()),
    )


def _of_arrays(own: Own, path: Path, part: Part, classes: Sequence[str]) -> Labelled:
    places = _chosen(path, own.parts, part)
    labels, remarks = _as_the_model_counts(path, own.images.labels[places], own.classes, classes)
    return Labelled(
        images=own.images.images[places],
        labels=labels,
        names=[own.names[place] for place in places],
        data=f"{path}: {number_of(len(places), 'image')}",
        remarks=tuple(remarks),
    )


def _chosen(path: Path, parts: Sequence[DataPart | None], part: Part) -> list[int]:
    """Positions of the images of a part; of images without any part, all of them."""
    divided = any(parts)  # and then those that were left without one are to train on
    places = [place for place, own in enumerate(parts) if part == "all" or not divided or (own or "train") == part]
    if not places:
        there = ", ".join(sorted({own or "train" for own in parts}))
        raise WrongUse(f"'{path}' has no part '{part}', only {there}: give --part, or --part all")
    return places


def _as_the_model_counts(
    place: Path, labels: NDArray[np.int64], theirs: Sequence[str], classes: Sequence[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """Labels as positions in the model's classes, and what was assumed of them."""
    found = {theirs[label] for label in np.unique(labels)}
    numbered = all(name.isdecimal() for name in theirs)
    if numbered and len(theirs) == len(classes) and not found <= {*classes}:  # such files have no names
        told = ", ".join(f"{number} {name}" for number, name in list(zip(theirs, classes, strict=True))[:3])
        return labels, [f"'{place}' has numbers for classes, taken in the order of the model's: {told}, ..."]
    _check_classes(place, found, classes)
    position = {name: place for place, name in enumerate(classes)}
    return np.array([position[theirs[label]] for label in labels], np.int64), []


def _of_dataset(dataset: Dataset, part: Part, classes: Sequence[str]) -> Labelled:
    if isinstance(dataset.train, Overlaid):
        raise WrongUse("images that show two classes have no confusion: capsedge export tells their error")
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    wanted = {each: split for each, split in splits.items() if part in (each, "all")}
    chosen = list(wanted.values())
    names = [name for each, own in zip(splits, dataset.names, strict=True) if part in (each, "all") for name in own]
    images = np.concatenate([split.images for split in chosen])
    labels = np.concatenate([split.labels for split in chosen])
    labels, assumed = _as_the_model_counts(Path(dataset.name), labels, dataset.classes, classes)
    return Labelled(
        images=images,
        labels=labels,
        names=names or [f"{each} image {number}" for each, split in wanted.items() for number in range(len(split))],
        data=f"{dataset.description}; the {part} part" if part != "all" else dataset.description,
        remarks=(*dataset.remarks, *assumed),
    )


class _Fitting:
    """Fits images as `infer` would, and remembers of which light and dark changed places."""

    def __init__(self, subject: EvaluatedNetwork, sample: Iterable[Image.Image]) -> None:
        self._subject = subject
        backgrounds = (background_of(lay_on(image, WHITE)) for image in sample)
        self._turning = turning("auto", dark_background=subject.dark_background, sample=backgrounds)
        self._exchanges = Exchanges()

    def fitted(self, image: Image.Image, name: str) -> NDArray[np.uint8]:
        pixels, turned = self._turning.fitted(image, self._subject.shape, self._subject.fit)
        self._exchanges.add(name, turned=turned)
        return pixels

    def remarks(self) -> list[str]:
        if not self._exchanges.made:
            return []
        return [
            self._exchanges.remark() or "light and dark were exchanged: the network was trained on a dark background"
        ]


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _readable(items: Iterable[Item]) -> Iterator[Image.Image]:
    for item in items:
        with suppress(DataError):  # which is told when its turn comes
            yield read_image(item.path)


def _of_images(folder: Path) -> bool:
    """Whether a folder is none of the formats that come in files of their own."""
    from capsedge.data.cifar import find_cifar
    from capsedge.data.idx import idx_files

    return not find_cifar(folder) and not idx_files(folder)


def _check_classes(place: Path, found: set[str], classes: Sequence[str]) -> None:
    if unknown := sorted(found - {*classes}):
        raise DataError(
            f"'{place}' has {few(unknown, 'class')} that the model does not know; it knows: {', '.join(classes)}"
        )
