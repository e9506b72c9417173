"""Augmentation: random variations of training images, a whole batch at once on its device.

Crop, flip, brightness and contrast are those of Sabour et al. 2017 for CIFAR-10, which are those of TensorFlow's
CIFAR-10 tutorial, in its order: crop 24 of 32, flip, brightness 63/255, contrast factors 0.2 to 1.8. Standardization,
the last item of that list, is done by the network. Erasing is that of Zhong et al. 2017, "Random Erasing".
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, pad

from capsedge.data.counter import SPLITMIX64
from capsedge.errors import WrongUse
from capsedge.recipe import DataRecipe

_STEP, _FIRST, _SECOND = (constant - 2**64 for constant in SPLITMIX64)  # torch's 64-bit integers are signed


class Variation(NamedTuple):
    """One kind of variation.

    Attributes:
        draw: Draws the random numbers of a batch, one row for each image.
        apply: Varies images by such rows.
    """

    draw: Callable[[int, Generator], Tensor]
    apply: Callable[[Tensor, Tensor], Tensor]


class Augmentation:
    """The variations of a recipe.

    Drawing and applying are separate, so that the draws of a global batch can be divided among ranks.

    Args:
        recipe: Which variations, and their ranges.
        shape: Height, width and channels of an image, no smaller than the crop (`build_network` checks that).

    Raises:
        WrongUse: The recipe erases, and no rectangle of a permitted area and aspect ratio fits into the image.
    """

    def __init__(self, recipe: DataRecipe, shape: tuple[int, int, int]) -> None:
        height, width, _ = shape
        self.variations = _variations(recipe, height, width)
        self.erasing = _erasing(recipe, height, width)
        self.beyond_range = recipe.brightness > 0 or recipe.contrast > 0

    def draw(self, count: int, generator: Generator) -> list[Tensor]:
        """Draw one row for each image and variation, erasing last, on the generator's device."""
        return [variation.draw(count, generator) for variation in (*self.variations, *self.erasing)]

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], draws: list[Tensor]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Apply all variations to images of 0 to 1, by the rows drawn for them, on the same device."""
        return self.erased(self.whole(images, draws), draws)

    def whole(
        self, images: Float[Tensor, "batch channels height width"], draws: list[Tensor]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Apply all variations but erasing."""
        for variation, rows in zip(self.variations, draws, strict=False):
            images = variation.apply(images, rows)
        # Clamped to the range of pixels, unlike in the tutorial: the standardization that follows subtracts an
        # image's mean, and would undo any change of brightness without the clamp.
        return images.clamp(0, 1) if self.beyond_range else images

    def erased(
        self, images: Float[Tensor, "batch channels rows columns"], draws: list[Tensor]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Apply erasing to images that have the other variations (`whole`)."""
        for variation, rows in zip(self.erasing, draws[len(self.variations) :], strict=True):
            images = variation.apply(images, rows)
        return images


def shifted(
    images: Float[Tensor, "batch channels height width"], offsets: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch channels height width"]:
    """Shift each image by its own (down, right) offset in pixels; the margin is black.

    Args:
        images: A batch.
        offsets: Whole pixels, positive or negative.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - offsets[:, :1]
    columns = torch.arange(width, device=images.device) - offsets[:, 1:]
    # One black row and column at the end are used for both sides: index -1 is the last.
    return _picked(pad(images, (0, 1, 0, 1)), rows.clamp(-1, height), columns.clamp(-1, width))


def turned(
    images: Float[Tensor, "batch channels height width"],
    degrees: Float[Tensor, " batch"],
    factors: Float[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Rotate and scale each image about its centre, in one bilinear resampling; the margin is black.

    An image that is neither rotated nor scaled stays the same to the bit.

    Args:
        images: A batch.
        degrees: Counterclockwise.
        factors: Above 1 an image grows and loses its border; below 1 it shrinks.
    """
    height, width = images.shape[2:]
    # The position that each pixel is read from, in pixels from the centre: the inverse of rotation and scale. Not by
    # affine_grid, whose matrix product loses digits under autocast and with TF32.
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = (torch.arange(height, device=images.device) - (height - 1) / 2)[:, None]
    angles = torch.deg2rad(degrees)
    cos, sin = ((part / factors)[:, None, None] for part in (torch.cos(angles), torch.sin(angles)))
    # grid_sample expects -1 to 1 from one edge of the image to the other.
    grid = torch.stack([(cos * x - sin * y) * 2 / width, (sin * x + cos * y) * 2 / height], dim=-1)
    resampled = grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.where(_wide((degrees == 0) & (factors == 1)), images, resampled)


def cropped(
    images: Float[Tensor, "batch channels height width"], corners: Int[Tensor, "batch 2"], *, side: int
) -> Float[Tensor, "batch channels side side"]:
    """Crop a square of `side` pixels out of each image; `corners` are its first row and column."""
    within = torch.arange(side, device=images.device)
    return _picked(images, corners[:, :1] + within, corners[:, 1:] + within)


def flipped(
    images: Float[Tensor, "batch channels height width"], mirrored: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Mirror left and right the images whose `mirrored` is true."""
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


def erased(
    images: Float[Tensor, "batch channels height width"],
    rectangles: Int[Tensor, "batch 4"],
    keys: Int[Tensor, " batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Fill a rectangle of each image with noise: each pixel and channel is one of 0/255 to 255/255.

    Args:
        images: A batch.
        rectangles: First row, first column, height and width in pixels; a height or width of 0 erases nothing.
        keys: The noise of an image depends on its key and on the image's shape alone.
    """
    height, width = images.shape[2:]
    tops, lefts, heights, widths = (each[:, None] for each in rectangles.unbind(1))
    rows = torch.arange(height, device=images.device) - tops
    columns = torch.arange(width, device=images.device) - lefts
    inside_rows, inside_columns = (rows >= 0) & (rows < heights), (columns >= 0) & (columns < widths)
    inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]
    return torch.where(inside, _noise(images, keys), images)


def _variations(recipe: DataRecipe, height: int, width: int) -> list[Variation]:
    """All variations but erasing, in the order of drawing and applying."""
    variations = []
    if recipe.shift:
        reach = recipe.shift
        variations.append(Variation(lambda n, g: torch.randint(-reach, reach + 1, (n, 2), generator=g), shifted))
    if recipe.rotation or recipe.scale:
        reaches = torch.tensor([recipe.rotation, recipe.scale])
        variations.append(Variation(partial(_turns, reaches), lambda images, rows: turned(images, *rows.unbind(1))))
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


def _erasing(recipe: DataRecipe, height: int, width: int) -> list[Variation]:
    """Erasing, which is drawn and applied after all other variations; empty where the recipe has none."""
    if not recipe.erase:
        return []
    sides = (recipe.crop, recipe.crop) if recipe.crop else (height, width)
    draw = partial(_rectangles, recipe.erase, torch.tensor(sides), _erasable(*sides))
    return [Variation(draw, lambda images, rows: erased(images, rows[:, :4], rows[:, 4]))]


def _turns(reaches: Tensor, count: int, generator: Generator) -> Tensor:
    """Degrees and factors [count, 2]."""
    degrees, changes = (reach * _symmetric(count, generator) for reach in reaches)
    return torch.stack([degrees, 1 + changes], dim=1)


def _corners(room: tuple[int, int], count: int, generator: Generator) -> Tensor:
    return torch.stack([torch.randint(each, (count,), generator=generator) for each in room], dim=1)


def _erasable(height: int, width: int) -> Tensor:
    """Heights and widths [n, 2] of the rectangles of 2 % to 33 % of an image, with aspect ratios of 0.3 to 1 / 0.3.

    A random one of them has a uniform area and a uniform logarithm of its aspect ratio, up to the rounding to pixels:
    the density of (area, log ratio) over (height, width) is constant. Zhong et al. draw these two (and the ratio
    itself uniformly, so that three of four rectangles are upright) until a rectangle fits.
    """
    heights, widths = torch.arange(1, height + 1)[:, None], torch.arange(1, width + 1)
    areas, whole = heights * widths, height * width
    of_area = (100 * areas >= 2 * whole) & (100 * areas <= 33 * whole)
    of_shape = (10 * heights >= 3 * widths) & (10 * widths >= 3 * heights)
    sizes = (of_area & of_shape).nonzero() + 1
    if not len(sizes):
        raise WrongUse(
            f"data.erase: expected images with room for a rectangle of 2 % to 33 % of their area and an aspect ratio "
            f"of 0.3 to 3.3, got {height}x{width} pixels",
            "leave out data.erase",
        )
    return sizes


def _rectangles(share: float, sides: Tensor, sizes: Tensor, count: int, generator: Generator) -> Tensor:
    """First row, first column, height, width and key of the noise [count, 5]; the size is 0 in all but a `share`."""
    chosen = sizes[torch.randint(len(sizes), (count,), generator=generator)]
    words = torch.randint(2**63 - 1, (count, 3), generator=generator)
    erases = torch.rand(count, generator=generator) < share
    return torch.cat([words[:, :2] % (sides - chosen + 1), chosen * erases[:, None], words[:, 2:]], dim=1)


def _noise(images: Tensor, keys: Tensor) -> Tensor:
    """Noise for whole images: a hash of each image's key gives eight pixels at a time, as bytes.

    So one number is drawn and sent for each image, and its noise is the same on every rank and device.
    """
    count = math.prod(images.shape[1:])
    words = _words(keys[:, None], torch.arange(math.ceil(count / 8), device=images.device))
    pixels = words.view(torch.uint8)[:, :count].reshape(images.shape)
    return pixels.to(images.dtype) / 255


def _words(keys: Tensor, positions: Tensor) -> Tensor:
    """The same as `capsedge.data.counter.words`, on any device; products wrap around at 64 bits, too."""
    words = keys + (positions + 1) * _STEP
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        words = (words ^ _shifted_right(words, shift)) * factor
    return words ^ _shifted_right(words, 31)


def _shifted_right(words: Tensor, bits: int) -> Tensor:
    """A logical right shift; torch's own repeats the sign."""
    return (words >> bits) & ((1 << 64 - bits) - 1)


def _symmetric(count: int, generator: Generator) -> Tensor:
    """Uniform from -1 to 1."""
    return 2 * torch.rand(count, generator=generator) - 1


def _wide(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _picked(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Of each image its rows [batch, height] and columns [batch, width]."""
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    picked = images.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2).contiguous()
