"""The pictures of a card: training curves, confusion, lengths against accuracy, and mistakes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from benchmarks.card.record import Card
from capsedge.reproduce.drawing import COLOURS, GREY, canvas, save_png, show_pixels, styled
from capsedge.training.metrics import read_metrics

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURES = ("curves.png", "confusion.png", "lengths.png", "mistakes.png")
BLUE, ORANGE = COLOURS["l2"], COLOURS["l1"]


def draw(card: Card, metrics: Path, images: NDArray[np.uint8], folder: Path) -> None:
    """Draw a card's pictures into its folder.

    Args:
        card: The card.
        metrics: The run's metrics.jsonl.
        images: The test images, uint8 [images, height, width, channels].
        folder: The folder to write into.
    """
    with styled():
        figures = (_curves(read_metrics(metrics)), _confusion(card), _lengths(card), _mistakes(card, images))
        for name, figure in zip(PICTURES, figures, strict=True):
            save_png(figure, folder / name)


def _curves(rows: list[dict[str, Any]]) -> "Figure":
    """Error and loss over the training, on the augmented training images and on the validation images."""
    figure = canvas(8, 3)
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in ("training", "validation")}
    for axes, key, factor, title in zip(
        figure.subplots(1, 2), ("error", "loss"), (100, 1), ("error, %", "loss"), strict=True
    ):
        for (kind, own), colour in zip(kinds.items(), (GREY, BLUE), strict=True):
            axes.plot([row["step"] for row in own], [factor * row[key] for row in own], color=colour, label=kind)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 4, 6)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_title(title, loc="left")
        axes.set_xlabel("step")
        axes.grid(axis="y")
    axes.legend()
    return figure


def _confusion(card: Card) -> "Figure":
    """Images by class and answer; only the mistakes are coloured, since the diagonal would dominate the scale."""
    counts = np.array(card.measured[card.shown].confusion)
    wrong = counts * (1 - np.eye(len(counts), dtype=int))
    side = 2.2 + 0.48 * len(counts)
    figure = canvas(side, side)
    axes = figure.add_subplot()
    axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, 1.5 * wrong.max()))
    for (label, answer), count in np.ndenumerate(counts):
        if count:
            axes.text(answer, label, f"{count}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(len(counts)), _names(card), rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(counts)), _names(card))
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.spines[:].set_visible(False)
    return figure


def _lengths(card: Card) -> "Figure":
    """Accuracy by the longest length, and the number of images with such a length."""
    bins = card.measured[card.shown].reliability
    figure = canvas(5, 4.5)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    middle = [(each.low + each.high) / 2 for each in bins]
    width = bins[0].high - bins[0].low
    above.bar(middle, [each.accuracy for each in bins], width=0.9 * width, color=BLUE, label="accuracy")
    above.plot(
        [each.length for each in bins], [each.length for each in bins], "o-", color=ORANGE, label="mean length"
    )
    figure.legend(loc="outside upper left", ncols=2)
    above.set_ylim(0, 1)
    above.grid(axis="y")
    below.bar(middle, [each.images for each in bins], width=0.9 * width, color=GREY)
    below.set_yscale("log")
    below.set_ylabel("images")
    below.set_xlabel("length of the longest capsule")
    below.set_xlim(0, 1)
    return figure


def _mistakes(card: Card, images: NDArray[np.uint8]) -> "Figure":
    """The mistakes with the longest capsules."""
    mistakes, names = card.measured[card.shown].mistakes, _names(card)
    columns = 6
    rows = max(1, -(-len(mistakes) // columns))
    figure = canvas(8, 1.9 * rows)
    for axes, mistake in zip(np.ravel(figure.subplots(rows, columns, squeeze=False)), mistakes, strict=False):
        show_pixels(axes, images[mistake.image])
        axes.set_title(f"{names[mistake.label]}\nas {names[mistake.answer]}, {mistake.length:.2f}", fontsize=8)
    for axes in figure.axes[len(mistakes) :]:
        axes.set_axis_off()
    return figure


def _names(card: Card) -> list[str]:
    """The class names, with dollar signs escaped, which begin a formula in matplotlib."""
    return [name.replace("$", r"\$") for name in card.data.classes]
