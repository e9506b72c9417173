"""Labelled images as a model takes them: a person's folder or list, a known data set, or the run's own."""

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from capsedge.contract import Fit
from capsedge.data import Dataset, Overlaid, decode_image, fit_image, load_dataset
from capsedge.data.arrays import read_arrays
from capsedge.data.known import KNOWN
from capsedge.data.listing import Item, few, list_labelled
from capsedge.data.listing import Part as DataPart
from capsedge.data.own import Own
from capsedge.errors import DataError, WrongUse
from capsedge.plural import number_of
from capsedge.recipe import from_values

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


def labelled(
    place: str, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit, part: Part = "test"
) -> Labelled:
    """Load labelled images and fit them as a model wants them.

    A folder, a list or an .npz of images in parts gives the part; one without parts gives all of its images. Nothing
    is held out: who has learned from them is not known here.

    Args:
        place: See `load_dataset`.
        classes: The model's class names.
        shape: Height, width and channels of its input.
        fit: How it wants images fitted.
        part: Which part.

    Raises:
        WrongUse: There is no such place, or it has no such part.
        DataError: Nothing can be read, or it has a class that the model has not.
    """
    path = Path(place).expanduser()
    if (
        place not in KNOWN
        and path.exists()
        and (path.suffix.lower() == ".csv" or (path.is_dir() and _of_images(path)))
    ):
        return _listed(path, classes=classes, shape=shape, fit=fit, part=part)
    if place not in KNOWN and path.exists() and path.suffix.lower() == ".npz":
        return _of_arrays(read_arrays(path), path, classes=classes, shape=shape, fit=fit, part=part)
    return _of_dataset(load_dataset(place), part, classes=classes, shape=shape, fit=fit)


def of_run(folder: Path, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit, part: Part) -> Labelled:
    """The images that a run was trained, chosen and tested on, divided as they were.

    Raises:
        DataError: They are no longer here, or the folder's records are damaged.
    """
    try:
        record = json.loads((folder / "run.json").read_bytes())
        source, told, sha256 = record["data_source"], record["data"], record["data_sha256"]
        recipe = from_values(
            tomllib.loads((folder / "recipe.toml").read_text(encoding="utf-8")), source=str(folder / "recipe.toml")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{folder}' does not say what it was trained on ({error}): give --data") from error
    data = recipe.data
    try:
        dataset = load_dataset(
            source, size=data.size, overlap=data.overlap, evaluation_images=data.evaluation_images, group=data.group
        )
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
    return _of_dataset(replace(dataset, remarks=()), part, classes=classes, shape=shape, fit=fit)


def with_copies(
    images: Labelled, run: Path, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit
) -> Labelled:
    """The same images, with a remark where the run of the model has learned from some of them.

    Nothing is said where the run's own images are no longer here.
    """
    try:
        learned = of_run(run, classes=classes, shape=shape, fit=fit, part="train")
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
        found: Any = json.loads((folder / "run.json").read_bytes())["data_source"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def _listed(path: Path, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit, part: Part) -> Labelled:
    listing = list_labelled(path)
    places = _chosen(path, [item.part for item in listing.items], part)
    items = [listing.items[place] for place in places]
    _check_classes(path, {item.label for item in items}, classes)
    images = np.empty((len(items), *shape), np.uint8)  # at once: a list of them would be a second copy
    kept: list[Item] = []
    broken = []
    for item in items:
        try:
            images[len(kept)] = fit_image(decode_image(item.path), shape, fit)
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
        labels=np.array([classes.index(item.label) for item in kept], np.int64),
        names=[item.name for item in kept],
        data=f"{path}: {number_of(len(kept), 'image')}{which}",
        remarks=tuple(remarks),
    )


def _of_arrays(
    own: Own, path: Path, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit, part: Part
) -> Labelled:
    places = _chosen(path, own.parts, part)
    labels, remarks = _as_the_model_counts(path, own.images.labels[places], own.classes, classes)
    images = np.empty((len(places), *shape), np.uint8)
    for row, place in enumerate(places):
        images[row] = _fitted(own.images.images[place], shape, fit)
    return Labelled(
        images=images,
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


def _of_dataset(
    dataset: Dataset, part: Part, *, classes: Sequence[str], shape: tuple[int, int, int], fit: Fit
) -> Labelled:
    if isinstance(dataset.train, Overlaid):
        raise WrongUse("images that show two classes have no confusion: capsedge export tells their error")
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    wanted = {each: split for each, split in splits.items() if part in (each, "all")}
    chosen = list(wanted.values())
    names = [name for each, own in zip(splits, dataset.names, strict=True) if part in (each, "all") for name in own]
    images = np.concatenate([split.images for split in chosen])
    labels = np.concatenate([split.labels for split in chosen])
    labels, assumed = _as_the_model_counts(Path(dataset.name), labels, dataset.classes, classes)
    if images.shape[1:] != shape:
        images = np.stack([_fitted(image, shape, fit) for image in images])
    return Labelled(
        images=images,
        labels=labels,
        names=names or [f"{each} image {number}" for each, split in wanted.items() for number in range(len(split))],
        data=f"{dataset.description}; the {part} part" if part != "all" else dataset.description,
        remarks=(*dataset.remarks, *assumed),
    )


def _fitted(image: NDArray[np.uint8], shape: tuple[int, int, int], fit: Fit) -> NDArray[np.uint8]:
    return fit_image(Image.fromarray(image[..., 0] if image.shape[2] == 1 else image), shape, fit)


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
