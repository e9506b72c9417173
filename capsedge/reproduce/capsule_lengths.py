"""Figure 1: images, each beside the lengths of its class capsules."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.data import Dataset, decode_image, fit_image, load_dataset
from capsedge.errors import WrongUse
from capsedge.export.subject import subject_of_run
from capsedge.measure.evaluate.subject import EvaluatedNetwork, subject_of
from capsedge.models.loss import M_MINUS, M_PLUS
from capsedge.reproduce.drawing import COLOURS, GREY, Pixels, canvas, show_pixels
from capsedge.run_record import is_run
from capsedge.runtime.infer.sources import find_images
from capsedge.runtime.models import BUILTIN_NAME, find_model
from capsedge.runtime.open import open_session
from capsedge.training import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_IMAGES = 30
EXAMPLES = 10  # test images, where no image is given


class Pictured(msgspec.Struct, frozen=True):
    """An image and the network's answer.

    Attributes:
        title: The file's name, or the number of the test image.
        labels: Its true classes; empty where they are unknown.
        pixels: uint8 [height, width, channels]: the network's input.
        lengths: One for each class, 0 to 1.
    """

    title: str
    labels: tuple[str, ...]
    pixels: Pixels
    lengths: tuple[float, ...]


class Fig1(msgspec.Struct, frozen=True, kw_only=True, tag="fig1", tag_field="kind"):
    """The content of the figure.

    Attributes:
        model: The run or the exported model.
        classes: Class names in the order of the lengths.
        images: At most `MOST_IMAGES`.
    """

    model: str
    classes: tuple[str, ...]
    images: tuple[Pictured, ...]


def fig1(images: Sequence[Path], *, model: str | None = None, data: str | None = None) -> Fig1:
    """Lengths of the class capsules for images.

    Args:
        images: Files and folders; empty for test images, one of each of the first classes.
        model: A run's folder, an exported model's path, or the name of a built-in model; None for the default one.
        data: Data set of the test images; None for that of the model.

    Raises:
        WrongUse: There are too many images, or images and a data set, or there is no such model.
        DataError: An image cannot be read.
    """
    if images and data:
        raise WrongUse("--data is for test images", "leave it out, or leave out the images")
    with ExitStack() as stack:
        answering, test_images = _model(model, data, stack)
        if images:
            files = find_images(images)
            if len(files) > MOST_IMAGES:
                raise WrongUse(f"expected at most {MOST_IMAGES} images, got {len(files)}")
            pixels = np.stack([fit_image(decode_image(file), answering.shape, answering.fit) for file in files])
            titles: list[tuple[str, tuple[str, ...]]] = [(file.name, ()) for file in files]
        else:
            pixels, titles = _examples(answering, test_images())
        lengths = answering.lengths(pixels)
    return Fig1(
        model=answering.name,
        classes=answering.classes,
        images=tuple(
            Pictured(title, labels, Pixels.of(image), tuple(round(float(each), 6) for each in row))
            for (title, labels), image, row in zip(titles, pixels, lengths, strict=True)
        ),
    )


def draw(content: Fig1) -> "Figure":
    """Each image beside a bar chart of its lengths, in two columns if there are several images."""
    columns = min(2, len(content.images))
    rows = math.ceil(len(content.images) / columns)
    classes = len(content.classes)
    height = max(1.6, 0.17 * classes + 0.5)
    figure = canvas(4.6 * columns, rows * height + 0.7)
    grid = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1, 1.6] * columns)
    for axes in grid.flat[2 * len(content.images) :]:
        axes.remove()
    for pictured, picture, bars in zip(content.images, grid.flat[::2], grid.flat[1::2], strict=False):
        show_pixels(picture, pictured.pixels.array())
        picture.set_title(pictured.title, fontsize=9)
        picture.set_xlabel(" + ".join(pictured.labels), fontsize=9)
        _bars(bars, content.classes, pictured)
    figure.suptitle(f"Lengths of the class capsules, by {content.model}", fontsize=11)
    figure.supxlabel(
        f"length: 0 absent, 1 present (dotted: the margins of the loss, {M_MINUS} and {M_PLUS})", fontsize=9
    )
    return figure


def rows(content: Fig1) -> tuple[list[str], list[list[str]]]:
    """The figure as a table: header, and one row per image."""
    lines = []
    for pictured in content.images:
        first, second, *_ = sorted(zip(pictured.lengths, content.classes, strict=True), reverse=True)
        lines.append(
            [
                pictured.title,
                first[1],
                f"{first[0]:.3f}",
                f"{second[1]} {second[0]:.3f}",
                " + ".join(pictured.labels) or "-",
            ]
        )
    return ["image", "class", "length", "next best", "true class"], lines


def _bars(axes: "Axes", classes: Sequence[str], pictured: Pictured) -> None:
    longest = int(np.argmax(pictured.lengths))
    colours = [COLOURS["l2"] if index == longest else GREY for index in range(len(classes))]
    axes.barh(range(len(classes)), pictured.lengths, color=colours, height=0.75)
    axes.set_yticks(range(len(classes)), classes, fontsize=8)
    axes.set_ylim(len(classes) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8)
    for margin in (M_MINUS, M_PLUS):
        axes.axvline(margin, color=GREY, linewidth=0.8, linestyle=":")
    axes.text(1.02, longest, f"{pictured.lengths[longest]:.2f}", va="center", fontsize=8)
    for tick, name in zip(axes.get_yticklabels(), classes, strict=True):
        if name in pictured.labels:
            tick.set_fontweight("bold")


def _examples(
    answering: EvaluatedNetwork, dataset: Dataset
) -> tuple[NDArray[np.uint8], list[tuple[str, tuple[str, ...]]]]:
    """The first test image of each of the first classes.

    Raises:
        WrongUse: The test images have other classes than the network.
    """
    if dataset.classes != answering.classes:
        raise WrongUse(
            f"{answering.name} has other classes than data set '{dataset.name}'",
            "give image files, or a data set with its classes to --data",
        )
    labels = dataset.test.labels.reshape(len(dataset.test), -1)
    members = [np.flatnonzero(labels[:, 0] == label) for label in range(min(EXAMPLES, len(dataset.classes)))]
    chosen = [int(each[0]) for each in members if len(each)]
    named = [tuple(dataset.classes[label] for label in labels[index]) for index in chosen]
    titles = [(f"test image {index}", names) for index, names in zip(chosen, named, strict=True)]
    return dataset.test.images[chosen], titles


def _model(model: str | None, data: str | None, stack: ExitStack) -> tuple[EvaluatedNetwork, Callable[[], Dataset]]:
    """A run in torch or an exported model in its runtime, and a function that loads test images for it."""
    if model is not None and is_run(Path(model)):
        run = Run(Path(model))
        subject = subject_of_run(run)
        return subject, (
            run.load_dataset if data is None else partial(load_dataset, data, size=subject.shape[0], fit=subject.fit)
        )
    subject = subject_of(stack.enter_context(open_session(find_model(model or BUILTIN_NAME))))
    return subject, partial(load_dataset, data or "fashion-mnist", size=subject.shape[0], fit=subject.fit)
