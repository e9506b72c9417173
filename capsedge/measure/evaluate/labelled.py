"""Labelled images fitted to a model: from a folder, a list, a known data set, or the model's run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.data import Dataset, Overlaid, load_dataset
from capsedge.data.arrays import read_arrays
from capsedge.data.folder import left_out
from capsedge.data.images import JUDGED, WHITE, Exchanges, background_of, lay_on, read_image, turning
from capsedge.data.items import Item, few
from capsedge.data.items import Part as DataPart
from capsedge.data.known import KNOWN, place_of
from capsedge.data.listing import list_labelled
from capsedge.data.own import Own
from capsedge.errors import DataError, ModelError, WrongUse
from capsedge.measure.evaluate.remark import EvalRemark, eval_remark, of_data
from capsedge.measure.evaluate.subject import EvaluatedNetwork
from capsedge.plural import number_of
from capsedge.run_record import load_dataset as dataset_of_run
from capsedge.run_record import read_record

Part = Literal["test", "validation", "train", "all"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Images with their labels, fitted to a model.

    Attributes:
        images: uint8 [N, height, width, channels].
        labels: Class of each image, as an index into the model's classes.
        names: Name of each image.
        data: Description of the images.
        remarks: Skipped images and other reasons for caution.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: Sequence[str]
    data: str
    remarks: tuple[EvalRemark, ...] = ()


def labelled(place: str, subject: EvaluatedNetwork, *, part: Part = "test") -> Labelled:
    """Load labelled images and fit them to a model, inverted where `infer` would invert them.

    From a folder, list or .npz that is divided into parts, the given part is loaded; from one without parts, all
    images. No images are held out, because it is not known whether the model was trained on them.

    Args:
        place: See `load_dataset`.
        subject: The model.
        part: The part to load.

    Raises:
        WrongUse: There is no such place, or it has no such part.
        DataError: No image can be read, or there is a class that the model does not have.
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


def of_run(folder: Path, *, classes: Sequence[str], part: Part) -> Labelled:
    """The images that a run was trained, validated and tested on, in the same division.

    Raises:
        DataError: They no longer exist, or the records of the run are damaged.
    """
    try:
        dataset = dataset_of_run(folder)
    except (OSError, ModelError) as error:
        raise DataError(f"'{folder}' does not say what it was trained on ({error})", "give --data") from error
    except DataError as error:
        advice = "give --data with images that the model was not trained on"
        raise DataError(error.text, f"{error.advice}, or {advice}" if error.advice else advice) from error
    # Remarks about the division of the images do not concern an evaluation.
    return _of_dataset(replace(dataset, remarks=()), part, classes)


def with_copies(images: Labelled, run: Path, *, classes: Sequence[str]) -> Labelled:
    """The same images, with a remark where the model was trained on some of them.

    There is no remark where the run's own images no longer exist.
    """
    try:
        learned = of_run(run, classes=classes, part="train")
    except (DataError, WrongUse):
        return images
    known = {image.tobytes() for image in learned.images}
    copies = [name for name, image in zip(images.names, images.images, strict=True) if image.tobytes() in known]
    if not copies:
        return images
    copied = (
        f"{few(copies, 'image')} of {len(images.names):,} with the pixels of an image that the model is trained on"
    )
    told = eval_remark("trained-on", f"{copied}: the error is too low", count=len(copies), images=len(images.names))
    return replace(images, remarks=(told, *images.remarks))


def source_of_run(folder: Path) -> str | None:
    """The place to load the images of a run from; None where the folder is not that of a run."""
    try:
        return read_record(folder).data_source
    except (OSError, ModelError):
        return None


def images_for(subject: EvaluatedNetwork, data: str | None, part: Part) -> Labelled:
    """The images to evaluate a network on: from the given place, or else those of its run.

    Args:
        subject: The network.
        data: See `labelled`; None for the images that the run was trained, validated and tested on.
        part: The part to load.

    Raises:
        WrongUse: No data is given, and the network is not in the folder of a run.
        DataError: See `labelled` and `of_run`.
    """
    source = None if subject.run is None else source_of_run(subject.run)
    if subject.run is None or source is None:
        if data is None:
            raise WrongUse(
                f"expected labelled images: '{subject.name}' is not in the folder of a run, whose test images are "
                "the default",
                "give --data with a folder that has a subfolder of images for each class, a .csv file, "
                f"an .npz file, or a data set's name ({', '.join(KNOWN)})",
            )
        return labelled(data, subject, part=part)
    if is_own(data, source):  # in the division of the training, which used the other parts
        return of_run(subject.run, classes=subject.classes, part=part)
    return with_copies(labelled(data or source, subject, part=part), subject.run, classes=subject.classes)


def is_own(data: str | None, source: str | None) -> bool:
    """Whether `data` is the place of a run's images, `source`; None stands for it too."""
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
    images = np.empty((len(items), *subject.shape), np.uint8)  # filled in place: stacking a list needs a second copy
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
    remarks = of_data((*listing.remarks, *left_out(dict(broken))))
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
    """Indices of the images of a part; all images where none has a part."""
    divided = any(parts)  # images without a part are then for training
    places = [place for place, own in enumerate(parts) if part == "all" or not divided or (own or "train") == part]
    if not places:
        there = ", ".join(sorted({own or "train" for own in parts}))
        raise WrongUse(f"'{path}' has no part '{part}', only {there}", "give --part, or --part all")
    return places


def _as_the_model_counts(
    place: Path, labels: NDArray[np.int64], theirs: Sequence[str], classes: Sequence[str]
) -> tuple[NDArray[np.int64], list[EvalRemark]]:
    """Labels as indices into the model's classes, and remarks about assumptions."""
    found = {theirs[label] for label in np.unique(labels)}
    numbered = all(name.isdecimal() for name in theirs)
    if numbered and len(theirs) == len(classes) and not found <= {*classes}:  # such files have no names
        first = ", ".join(f"{number} {name}" for number, name in list(zip(theirs, classes, strict=True))[:3])
        text = f"'{place}' has numbers for classes, taken in the order of the model's: {first}, ..."
        return labels, [eval_remark("assumed-classes", text, classes=len(classes))]
    _check_classes(place, found, classes)
    position = {name: place for place, name in enumerate(classes)}
    return np.array([position[theirs[label]] for label in labels], np.int64), []


def _of_dataset(dataset: Dataset, part: Part, classes: Sequence[str]) -> Labelled:
    if isinstance(dataset.train, Overlaid):
        raise WrongUse(
            "images that show two classes cannot be evaluated, they have no confusion matrix",
            "capsedge export reports their error",
        )
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
        remarks=(*of_data(dataset.remarks), *assumed),
    )


class _Fitting:
    """Fits images as `infer` would, and records which of them were inverted."""

    def __init__(self, subject: EvaluatedNetwork, sample: Iterable[Image.Image]) -> None:
        self._subject = subject
        backgrounds = (background_of(lay_on(image, WHITE)) for image in sample)
        self._turning = turning("auto", dark_background=subject.dark_background, sample=backgrounds)
        self._exchanges = Exchanges()

    def fitted(self, image: Image.Image, name: str) -> NDArray[np.uint8]:
        pixels, turned = self._turning.fitted(image, self._subject.shape, self._subject.fit)
        self._exchanges.add(name, turned=turned)
        return pixels

    def remarks(self) -> list[EvalRemark]:
        if not self._exchanges.made:
            return []
        all_of_them = "light and dark were exchanged: the network was trained on a dark background"
        return [eval_remark("exchanged", self._exchanges.remark() or all_of_them, count=self._exchanges.made)]


def _picture(image: NDArray[np.uint8]) -> Image.Image:
    return Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)


def _readable(items: Iterable[Item]) -> Iterator[Image.Image]:
    for item in items:
        with suppress(DataError):  # reported when the image is read again
            yield read_image(item.path)


def _of_images(folder: Path) -> bool:
    """Whether a folder has images as files, and not a data set in the CIFAR or IDX format."""
    from capsedge.data.cifar import find_cifar
    from capsedge.data.idx import idx_files

    return not find_cifar(folder) and not idx_files(folder)


def _check_classes(place: Path, found: set[str], classes: Sequence[str]) -> None:
    if unknown := sorted(found - {*classes}):
        raise DataError(
            f"'{place}' has {few(unknown, 'class')} that the model does not know; it knows: {', '.join(classes)}"
        )
