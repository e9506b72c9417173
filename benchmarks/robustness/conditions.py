"""The conditions: transformations of the test images, the same for every network.

Every condition returns uint8 images, the input of an exported file. Its random numbers are a function of the seed and
its kind: the amounts of one kind share their draws (a shift of 2 pixels has the direction of that of 1), and an
image's draws do not depend on the number of images after it.
"""

import zlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.random import RandomState
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample, pad

from capsedge.training.augment import turned
from capsedge.training.batches import normalized, shifted

ConditionKind = Literal["clean", "shift", "rotation", "affine", "noise", "blur"]
Images = Float[Tensor, "batch channels height width"]

BATCH = 250
DIRECTIONS = [[down, right] for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
# As in affNIST (Tieleman 2013), except the translation: see `affine`.
LARGEST_TURN, LARGEST_SHEAR, LARGEST_SCALE, LARGEST_MOVE = 20.0, 0.2, 0.2, 3.0
KERNEL_REACH = 4.0  # radius of a Gaussian kernel in standard deviations


class Condition(NamedTuple):
    """One condition.

    Attributes:
        kind: Kind of transformation.
        amount: Pixels of a shift, degrees of a rotation, standard deviation of noise (black is 0, white 1) or of a
            blur (pixels); None without a single number.
        vary: Transforms a batch of images of 0 to 1.
    """

    kind: ConditionKind
    amount: float | None
    vary: Callable[[Images, RandomState], Images]


def varied(images: NDArray[np.uint8], condition: Condition, *, seed: int) -> NDArray[np.uint8]:
    """Images under a condition.

    Args:
        images: [n, height, width, channels].
        condition: The transformation.
        seed: Seed of its random numbers.
    """
    random = random_of(seed, condition.kind)
    batches = torch.split(torch.from_numpy(images).permute(0, 3, 1, 2), BATCH)
    made = torch.cat([condition.vary(normalized(batch), random) for batch in batches])
    return (made * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def random_of(seed: int, purpose: str) -> RandomState:
    """The random generator for one purpose; a RandomState, because numpy guarantees that its stream never changes."""
    return RandomState([seed, zlib.crc32(purpose.encode())])


def clean() -> Condition:
    """The unchanged images."""
    return Condition("clean", None, lambda images, _: images)


def shift(pixels: int) -> Condition:
    """Move each image by `pixels` in one of eight directions; diagonally, by `pixels` along both axes."""

    def vary(images: Images, random: RandomState) -> Images:
        directions = np.array(DIRECTIONS)[random.randint(len(DIRECTIONS), size=len(images))]
        return shifted(images, torch.from_numpy(directions * pixels))

    return Condition("shift", pixels, vary)


def rotation(degrees: float) -> Condition:
    """Rotate each image by `degrees`, clockwise or counterclockwise."""

    def vary(images: Images, random: RandomState) -> Images:
        ways = torch.from_numpy(2.0 * random.randint(2, size=len(images)) - 1).float()
        return turned(images, ways * degrees, torch.ones(len(images)))

    return Condition("rotation", degrees, vary)


def affine() -> Condition:
    """Rotate, shear, scale and move, with the ranges of affNIST except for the move.

    affNIST moves a digit of 28x28 pixels on a canvas of 40x40. The networks here take the images' own size, and a
    garment often fills one side. So an image moves by at most 3 pixels along each axis, and only as far as no more of
    it leaves the frame than necessary: an object that fits stays inside.
    """

    def vary(images: Images, random: RandomState) -> Images:
        draws = torch.from_numpy(random.uniform(-1, 1, (len(images), 6))).float()
        matrices = matrices_of(
            LARGEST_TURN * draws[:, 0],
            LARGEST_SHEAR * draws[:, 1],
            1 + LARGEST_SCALE * draws[:, 2:4],
        )
        low, high = room(images, matrices)
        return transformed(images, matrices, low + (draws[:, 4:] + 1) / 2 * (high - low))

    return Condition("affine", None, vary)


def noise(sigma: float) -> Condition:
    """Independent Gaussian noise on each value, clipped to 0 to 1."""

    def vary(images: Images, random: RandomState) -> Images:
        added = torch.from_numpy(random.standard_normal(tuple(images.shape))).float()
        return (images + sigma * added).clamp(0, 1)

    return Condition("noise", sigma, vary)


def blur(sigma: float) -> Condition:
    """Gaussian blur."""
    return Condition("blur", sigma, lambda images, _: blurred(images, sigma))


CONDITIONS: tuple[Condition, ...] = (
    clean(),
    *map(shift, (1, 2, 3, 4)),
    *map(rotation, (5.0, 10.0, 15.0, 30.0)),
    affine(),
    *map(noise, (0.05, 0.1, 0.2)),
    *map(blur, (0.5, 1.0, 2.0)),
)


def matrices_of(
    degrees: Float[Tensor, " batch"], shears: Float[Tensor, " batch"], factors: Float[Tensor, "batch 2"]
) -> Float[Tensor, "batch 2 2"]:
    """Matrices that scale, then shear, then rotate points (right, down) about the centre.

    Args:
        degrees: Rotation angles, counterclockwise as displayed.
        shears: Pixels to the right for each pixel below the centre.
        factors: Scales of the width and of the height; above 1 an image grows.
    """
    angles = torch.deg2rad(degrees)
    cos, sin = torch.cos(angles), torch.sin(angles)
    one, none = torch.ones_like(shears), torch.zeros_like(shears)
    turn = _matrices(cos, sin, -sin, cos)  # rows point down
    return turn @ _matrices(one, shears, none, one) @ torch.diag_embed(factors)


def room(
    images: Float[Tensor, "batch channels height width"], matrices: Float[Tensor, "batch 2 2"]
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 2"]]:
    """The smallest and the largest move (right, down) that put no more of an image outside than necessary.

    Only pixels that are not black count. If they fit into the frame, all of them stay inside; if not, they fill it.
    Moves are limited to `LARGEST_MOVE`.
    """
    points = _points(*images.shape[2:])
    black = (images.amax(1).flatten(1) == 0)[:, None]
    moved = matrices @ points
    first = moved.masked_fill(black, torch.inf).amin(2)
    last = moved.masked_fill(black, -torch.inf).amax(2)
    ends = torch.stack([points.amin(1) - first, points.amax(1) - last]).clamp(-LARGEST_MOVE, LARGEST_MOVE)
    return ends.amin(0), ends.amax(0)


def transformed(
    images: Float[Tensor, "batch channels height width"],
    matrices: Float[Tensor, "batch 2 2"],
    offsets: Float[Tensor, "batch 2"],
) -> Float[Tensor, "batch channels height width"]:
    """Map each point p of an image, from its centre, to M p + t, in one bilinear resampling; new pixels are black.

    Args:
        images: A batch.
        matrices: M, of points (right, down).
        offsets: t, in pixels.
    """
    height, width = images.shape[2:]
    sources = torch.linalg.inv(matrices) @ (_points(height, width) - offsets[:, :, None])
    # grid_sample takes -1 to 1 from one edge of the image to the other.
    grid = (sources * 2 / torch.tensor([[width], [height]])).mT.reshape(len(images), height, width, 2)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def blurred(
    images: Float[Tensor, "batch channels height width"], sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """Gaussian blur with a standard deviation of `sigma` pixels; edge pixels are repeated beyond the edge."""
    reach = int(KERNEL_REACH * sigma + 0.5)
    weights = torch.exp(-(torch.arange(-reach, reach + 1).double() ** 2) / (2 * sigma**2))
    kernel = (weights / weights.sum()).float()
    planes = pad(images.flatten(0, 1)[:, None], (reach, reach, reach, reach), mode="replicate")
    planes = conv2d(conv2d(planes, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
    return planes.view(images.shape)


def _points(height: int, width: int) -> Float[Tensor, "2 pixels"]:
    """The centre of each pixel as (right, down) of the image's centre, row by row."""
    down, right = torch.meshgrid(
        torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij"
    )
    return torch.stack([right.flatten(), down.flatten()])


def _matrices(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Float[Tensor, "batch 2 2"]:
    return torch.stack([a, b, c, d], dim=1).view(-1, 2, 2)
