"""Figure 2: reconstructions by DR's decoder, from DR's capsules and from those of an L2 network without a decoder.

DR is the paper's name for dynamic routing.
"""

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import one_hot

from capsedge.data import Dataset, Split
from capsedge.errors import WrongUse
from capsedge.models import CapsNet
from capsedge.models.decoder import Decoder
from capsedge.recipe import Recipe
from capsedge.reproduce.cases import Width, in_words
from capsedge.reproduce.drawing import Pixels, canvas, mosaic, show_pixels, wrapped
from capsedge.reproduce.trainings import TrainingSettings, load_for_figure, train_all
from capsedge.scoring import wrong_answers
from capsedge.training import lengths_of
from capsedge.training.batches import normalized

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IMAGES = 100  # as in the paper
COLUMNS = 10


class Panel(msgspec.Struct, frozen=True):
    """One grid of images.

    Attributes:
        title: Its title.
        squared_error: Mean squared difference from the inputs, for pixels of 0 to 1; None for the inputs themselves.
        pixels: uint8 [images, height, width, channels].
    """

    title: str
    squared_error: float | None
    pixels: Pixels


class Fig2(msgspec.Struct, frozen=True, kw_only=True, tag="fig2", tag_field="kind"):
    """The content of the figure.

    Attributes:
        data: Description of the data set.
        width: Width of both networks.
        changes: Values of the recipes that were changed (`--set`).
        epochs: Epochs of both trainings.
        recipe_epochs: Epochs of the shipped recipe.
        seed: Seed of both trainings.
        labels: The class of each image; its capsule is decoded.
        panels: Inputs, DR's decoder on DR's capsules, DR's decoder on L2's capsules.
        mean_image_error: Squared error with the mean training image of the class in place of each reconstruction: the
            error of a decoder that uses the class alone.
        dynamic_wrong: Number of the images that the DR network classifies wrongly; the L2 network classifies all of
            them correctly.
    """

    data: str
    width: Width
    changes: tuple[str, ...]
    epochs: int
    recipe_epochs: int
    seed: int
    labels: tuple[str, ...]
    panels: tuple[Panel, Panel, Panel]
    mean_image_error: float
    dynamic_wrong: int


def fig2(settings: TrainingSettings) -> Fig2:
    """Train both networks, or reuse finished runs, and reconstruct test images.

    Raises:
        WrongUse: There is more than one seed, or the images are overlapped or cropped.
    """
    if len(settings.seeds) != 1:
        raise WrongUse(
            f"--seed: expected one seed, got {len(settings.seeds)}; figure 2 shows one training of each network"
        )
    (seed,) = settings.seeds
    data, dataset = load_for_figure(settings)
    recipes = [
        settings.recipe(data, "dynamic", seed=seed, decoder=True),
        settings.recipe(data, "l2", seed=seed, decoder=False),
    ]
    _check_whole_images(recipes[0])
    dynamic, l2 = (run.load_best() for _, run in train_all(settings, data, dataset, recipes))
    chosen = rightly_classified(l2, dataset)
    images, labels = dataset.test.images[chosen], dataset.test.labels[chosen]
    assert dynamic.decoder is not None
    own = reconstruct(dynamic.decoder, dynamic, images, labels)
    foreign = reconstruct(dynamic.decoder, l2, images, labels)
    wrong = wrong_answers(lengths_of(dynamic, dataset.test, torch.device("cpu")).numpy(), dataset.test.labels)[chosen]
    return Fig2(
        data=dataset.description,
        width=settings.width,
        changes=settings.overrides,
        epochs=recipes[0].train.epochs,
        recipe_epochs=settings.recipe_epochs(data, recipes[0]),
        seed=seed,
        labels=tuple(dataset.classes[label] for label in labels),
        panels=(
            Panel("(a) test images that L2/FC classifies correctly", None, Pixels.of(images)),
            _panel("(b) DR's decoder on DR's capsules", own, images),
            _panel("(c) DR's decoder on the capsules of L2/FC", foreign, images),
        ),
        mean_image_error=squared_error(class_means(dataset)[labels], images),
        dynamic_wrong=int(wrong.sum()),
    )


def rightly_classified(network: CapsNet, dataset: Dataset, count: int = IMAGES) -> NDArray[np.int64]:
    """Indices of correctly classified test images, [images]: the first ones of each class, equally many, by class."""
    labels = dataset.test.labels
    right = ~wrong_answers(lengths_of(network, dataset.test, torch.device("cpu")).numpy(), labels)
    share = max(1, count // len(dataset.classes))
    members = [np.flatnonzero(right & (labels == label))[:share] for label in range(len(dataset.classes))]
    return np.concatenate(members)[:count]


@torch.no_grad()
def reconstruct(
    decoder: Decoder, network: CapsNet, images: NDArray[np.uint8], labels: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Decode a network's class capsules.

    Args:
        decoder: A decoder, of this or another network.
        network: The network of the class capsules.
        images: [images, height, width, channels].
        labels: [images]: the capsule of this class is decoded, the others are masked.

    Returns:
        [images, height, width, channels], 0 to 1.
    """
    planes: Float[Tensor, "n c h w"] = normalized(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous())
    wanted: Int[Tensor, " n"] = torch.from_numpy(labels)
    capsules = network(planes)
    mask = one_hot(wanted, capsules.classes.shape[1]).float()
    drawn = decoder(capsules.poses, mask).reshape(planes.shape).permute(0, 2, 3, 1)
    result: NDArray[np.float32] = drawn.numpy()
    return result


def squared_error(drawn: NDArray[np.floating], images: NDArray[np.uint8]) -> float:
    """Mean squared difference over all pixels, for pixels of 0 to 1.

    Args:
        drawn: Reconstructions, [n, height, width, channels], 0 to 1.
        images: The images, uint8 [n, height, width, channels].
    """
    return float(np.square(drawn - images / 255).mean())


def class_means(dataset: Dataset) -> NDArray[np.float64]:
    """The mean training image of each class, [classes, height, width, channels], 0 to 1."""
    train = dataset.train
    assert isinstance(train, Split)  # overlapped images were refused
    return np.stack([train.images[train.labels == label].mean(axis=0) / 255 for label in range(len(dataset.classes))])


def draw(content: Fig2) -> "Figure":
    """Three grids side by side, with their errors below."""
    figure = canvas(12, 5.2)
    for axes, panel in zip(figure.subplots(1, 3), content.panels, strict=True):
        show_pixels(axes, mosaic(panel.pixels.array(), COLUMNS))
        axes.set_title(panel.title, fontsize=12)
        axes.set_xlabel(_under(content, panel), fontsize=11)
    size = in_words(
        content.width, changes=content.changes, epochs=content.epochs, recipe_epochs=content.recipe_epochs
    )
    figure.suptitle(wrapped(f"Reconstructions: {content.data}\n{size}, seed {content.seed}", 120), fontsize=12)
    return figure


def rows(content: Fig2) -> tuple[list[str], list[list[str]]]:
    """The figure as a table: header, and one row per panel."""
    lines = [
        [panel.title, f"{panel.squared_error:.4f}"] for panel in content.panels if panel.squared_error is not None
    ]
    return ["panel", "mean squared error"], [
        *lines,
        ["the mean training image of the class, for comparison", f"{content.mean_image_error:.4f}"],
    ]


def _panel(title: str, drawn: NDArray[np.float32], images: NDArray[np.uint8]) -> Panel:
    return Panel(title, squared_error(drawn, images), Pixels.of(np.rint(255 * drawn).astype(np.uint8)))


def _under(content: Fig2, panel: Panel) -> str:
    if panel.squared_error is None:
        wrong = content.dynamic_wrong
        return f"{len(content.labels)} images, one row per class;\nDR misclassifies {wrong} of them"
    return (
        f"mean squared error per pixel {panel.squared_error:.4f}\n"
        f"(mean image of the class: {content.mean_image_error:.4f})"
    )


def _check_whole_images(recipe: Recipe) -> None:
    if recipe.data.overlap or recipe.data.crop:
        raise WrongUse(
            f"expected single, uncropped images, got recipe '{recipe.name}'",
            "give --data mnist, fashion-mnist or a folder",
        )
