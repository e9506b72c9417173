"""The conditions: what is done to test images before a network sees them, the same for every network.

Every condition gives uint8 images again, since those are what an exported file takes. What is random in a condition
is a function of the seed and its kind: the amounts of one kind share their draws (a shift of 2 pixels goes where that
of 1 went), and an image's draws do not depend on how many follow it.
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
# affNIST (Tieleman 2013), but for the translation: see `affine`.
LARGEST_TURN, LARGEST_SHEAR, LARGEST_SCALE, LARGEST_MOVE = 20.0, 0.2, 0.2, 3.0
KERNEL_REACH = 4.0  # a Gaussian kernel ends at so many standard deviations


class Condition(NamedTuple):
    """One condition.

    Attributes:
        kind: What is done.
        amount: How far: pixels of a shift, degrees of a rotation, standard deviation of noise (black is 0, white 1)
            or of a blur (pixels); None where there is no single number.
        vary: Does it to a batch of images of 0 to 1.
    """

    kind: ConditionKind
    amount: float | None
    vary: Callable[[Images, RandomState], Images]


def varied(images: NDArray[np.uint8], condition: Condition, *, seed: int) -> NDArray[np.uint8]:
    """Images under a condition.

    Args:
        images: [n, height, width, channels].
        condition: What is done to them.
        seed: Of what is random in it.
    """
    random = random_of(seed, condition.kind)
    batches = torch.split(torch.from_numpy(images).permute(0, 3, 1, 2), BATCH)
    made = torch.cat([condition.vary(normalized(batch), random) for batch in batches])
    return (made * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()


def random_of(seed: int, purpose: str) -> RandomState:
    """The random numbers of one purpose; RandomState, because numpy promises that its stream never changes."""
    return RandomState([seed, zlib.crc32(purpose.encode())])


def clean() -> Condition:
    """The images as they are."""
    return Condition("clean", None, lambda images, _: images)


def shift(pixels: int) -> Condition:
    """Each image goes `pixels` in one of eight directions: along a diagonal so many down and so many across."""

    def vary(images: Images, random: RandomState) -> Images:
        directions = np.array(DIRECTIONS)[random.randint(len(DIRECTIONS), size=len(images))]
        return shifted(images, torch.from_numpy(directions * pixels))

    return Condition("shift", pixels, vary)


def rotation(degrees: float) -> Condition:
    """Each image is turned by `degrees`, one way or the other."""

    def vary(images: Images, random: RandomState) -> Images:
        ways = torch.from_numpy(2.0 * random.randint(2, size=len(images)) - 1).float()
        return turned(images, ways * degrees, torch.ones(len(images)))

    return Condition("rotation", degrees, vary)


def affine() -> Condition:
    """Turned, sheared, scaled and moved, with the ranges of affNIST but for the move.

    affNIST moves a digit of 28x28 pixels about a canvas of 40x40. The networks here take the images' own size, of
    which a garment often fills one side. So an image is moved by at most 3 pixels along each axis, and only as far as
    no more of it leaves the frame than must: where it fits, all of it stays.
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
    """Gaussian noise on each value on its own, cut to black and white."""

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
    """Scale, then shear, then turn, of points (right, down) from the centre.

    Args:
        degrees: Counterclockwise, as the image is seen.
        shears: A point goes right by so much for each pixel that it lies below the centre.
        factors: Of the width and of the height; above 1 an image grows.
    """
    angles = torch.deg2rad(degrees)
    cos, sin = torch.cos(angles), torch.sin(angles)
    one, none = torch.ones_like(shears), torch.zeros_like(shears)
    turn = _matrices(cos, sin, -sin, cos)  # rows point down
    return turn @ _matrices(one, shears, none, one) @ torch.diag_embed(factors)


def room(
    images: Float[Tensor, "batch channels height width"], matrices: Float[Tensor, "batch 2 2"]
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 2"]]:
    """The shortest and the longest move (right, down) after which no more of an image is outside than must be.

    What counts are the pixels that are not black. Where they fit into the frame, all of them stay in it; where they
    do not fit, they fill it. Neither end is further than `LARGEST_MOVE`.
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
    """Take each point p of an image, from its centre, to M p + t, in one bilinear resampling; what comes in is black.

    Args:
        images: A batch.
        matrices: M, of points (right, down).
        offsets: t, in pixels.
    """
    height, width = images.shape[2:]
    sources = torch.linalg.inv(matrices) @ (_points(height, width) - offsets[:, :, None])
    # grid_sample wants -1 to 1 from one edge of the image to the other.
    grid = (sources * 2 / torch.tensor([[width], [height]])).mT.reshape(len(images), height, width, 2)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def blurred(
    images: Float[Tensor, "batch channels height width"], sigma: float
) -> Float[Tensor, "batch channels height width"]:
    """Gaussian blur with a standard deviation of `sigma` pixels; beyond its edge an image goes on as it ends."""
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
