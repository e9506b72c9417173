"""Random variations of training images, a whole batch at once on its device.

Crop, flip, brightness and contrast are those that Sabour et al. 2017 trained CIFAR-10 with, which are those of
TensorFlow's CIFAR-10 tutorial, in its order: crop 24 of 32, flip, brightness 63/255, contrast factors 0.2 to 1.8.
Standardization, which ends that list, is done by the network.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn.functional import pad

from capsedge.recipe import DataRecipe


class Variation(NamedTuple):
    """One kind of variation: what is drawn (one row an image), and what it does to the images."""

    draw: Callable[[int, Generator], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


class Augmentation:
    """The variations that a recipe asks for.

    Drawing and applying are apart, so that the draws of a global batch can be divided among ranks.

    Args:
        recipe: Which variations, and how far they go.
        shape: Height, width and channels of an image, no smaller than the crop (the network is asked that first).
    """

    def __init__(self, recipe: DataRecipe, shape: tuple[int, int, int]) -> None:
        height, width, _ = shape
        self.variations = _variations(recipe, height, width)
        self.beyond_range = recipe.brightness > 0 or recipe.contrast > 0

    def draw(self, count: int, generator: Generator) -> list[Tensor]:
        """Draw for each variation one row an image, on the generator's device."""
        return [variation.draw(count, generator) for variation in self.variations]

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], draws: list[Tensor]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Vary images of 0 to 1 by the rows drawn for them, on the same device."""
        for variation, rows in zip(self.variations, draws, strict=True):
            images = variation.apply(images, rows)
        # Cut to the range of real pixels, which the tutorial does not do: the standardization that follows takes an
        # image's mean away, and without the cut would undo any change of brightness.
        return images.clamp(0, 1) if self.beyond_range else images


def shifted(
    images: Float[Tensor, "batch channels height width"], offsets: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch channels height width"]:
    """Move each image by its own (down, right) offset in pixels; what comes in is black.

    Args:
        images: A batch.
        offsets: Whole pixels, of either sign.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - offsets[:, :1]
    columns = torch.arange(width, device=images.device) - offsets[:, 1:]
    # One black row and column at the end serve both sides: position -1 is the last.
    return _picked(pad(images, (0, 1, 0, 1)), rows.clamp(-1, height), columns.clamp(-1, width))


def cropped(
    images: Float[Tensor, "batch channels height width"], corners: Int[Tensor, "batch 2"], *, side: int
) -> Float[Tensor, "batch channels side side"]:
    """Cut a square of `side` pixels out of each image; `corners` are the first row and column of it."""
    within = torch.arange(side, device=images.device)
    return _picked(images, corners[:, :1] + within, corners[:, 1:] + within)


def flipped(
    images: Float[Tensor, "batch channels height width"], mirrored: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Mirror left and right where `mirrored` says so."""
    return torch.where(_wide(mirrored), images.flip(3), images)


def brightened(
    images: Float[Tensor, "batch channels height width"], amounts: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Add an amount to all pixels of an image; the result may leave 0 to 1."""
    return images + _wide(amounts)


def contrasted(
    images: Float[Tensor, "batch channels height width"], factors: Float[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Scale the distance of each pixel from its channel's mean in the image; the result may leave 0 to 1."""
    means = images.mean((2, 3), keepdim=True)
    return means + _wide(factors) * (images - means)


def _variations(recipe: DataRecipe, height: int, width: int) -> list[Variation]:
    """In the order that they are drawn and applied in."""
    variations = []
    if recipe.shift:
        reach = recipe.shift
        variations.append(Variation(lambda n, g: torch.randint(-reach, reach + 1, (n, 2), generator=g), shifted))
    if recipe.crop:
        room = height - recipe.crop + 1, width - recipe.crop + 1
        variations.append(Variation(partial(_corners, room), partial(cropped, side=recipe.crop)))
    if recipe.flip:
        variations.append(Variation(lambda n, g: torch.randint(2, (n,), generator=g).bool(), flipped))
    if recipe.brightness:
        variations.append(Variation(lambda n, g: recipe.brightness * _symmetric(n, g), brightened))
    if recipe.contrast:
        variations.append(Variation(lambda n, g: 1 + recipe.contrast * _symmetric(n, g), contrasted))
    return variations


def _corners(room: tuple[int, int], count: int, generator: Generator) -> Tensor:
    return torch.stack([torch.randint(each, (count,), generator=generator) for each in room], dim=1)


def _symmetric(count: int, generator: Generator) -> Tensor:
    """Uniform from -1 to 1."""
    return 2 * torch.rand(count, generator=generator) - 1


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """From each image its own rows [batch, height] and columns [batch, width]."""
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    picked = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()
