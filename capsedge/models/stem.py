"""The stem: the layers from prepared images to the feature maps below the primary capsules.

Table I's stem is one convolution. The others are blocks with batch normalization: a recipe gives the kind of block
and, for each block, channels and stride. Export folds the normalization into the weights (`capsedge.export.fold`), so
an exported block has only its convolutions.
"""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models.convolution import Convolution, SafeConv2d, positions
from capsedge.recipe import NetworkRecipe

LEAK = 0.2  # TensorFlow's default slope; the paper gives none
KERNEL = 3  # of every block's spatial convolution

_SINGLE = (
    "batch normalization needs two values of each channel or more, and a batch of one image has feature maps of a "
    "single pixel",
    "set data.size to a larger side, or train.batch_size so that no batch of an epoch, nor its last, has one image",
)


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization (Ioffe and Szegedy 2015) over the whole batch, also where several devices share it.

    The statistics are sums over the images of all devices, so N devices take the same steps as one. A device without
    images of a small batch contributes sums of zero.

    Attributes:
        summed: Sums a float64 tensor over all devices, and its gradient too; None for one device.

    Raises:
        WrongUse: In training, the batch has a single value of each channel; raised on every device.
    """

    summed: Callable[[Tensor], Tensor] | None = None

    def forward(
        self, input: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Channels with mean 0 and deviation 1 over the batch, scaled and shifted as learned."""
        values = input.numel() // input.shape[1]  # of each channel, on this device
        if not (self.training and self.summed):
            if self.training and values == 1:
                raise WrongUse(*_SINGLE)
            return super().forward(input)
        x = input.float()
        # Sums of the differences from this device's mean: in float32 the squares of values far from 0 leave no digits
        # for a small variance. The few sums are in float64, which has enough digits.
        centre = x.detach().sum((0, 2, 3)) / max(values, 1)
        apart = x - _wide(centre)
        first, second, middle = (
            each.double() for each in (apart.sum((0, 2, 3)), apart.square().sum((0, 2, 3)), centre)
        )
        count = torch.full((1,), values, dtype=torch.float64, device=x.device)
        squares = second + 2 * middle * first + values * middle.square()
        sums = self.summed(torch.cat([first + values * middle, squares, count]))
        total = sums[-1].detach()
        # Only a device with at most one value can be part of such a batch: no other reads the total back.
        if values <= 1 and total == 1:
            raise WrongUse(*_SINGLE)
        mean, square = (sums[:-1] / total).chunk(2)
        variance = (square - mean.square()).clamp(min=0)  # rounding may make it negative for nearly equal values
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            unbiased = variance * (total / (total - 1))  # as PyTorch keeps it
            self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps).to(x.dtype)
        shift = self.bias - (mean - middle).to(x.dtype) * scale
        return (apart * _wide(scale) + _wide(shift)).to(input.dtype)


class Table1(nn.Module):
    """Conv1 of Table I: one convolution and its nonlinearity.

    Args:
        conv: The convolution.
        leaky: LeakyReLU with slope 0.2, as on CIFAR-10, instead of ReLU.
    """

    def __init__(self, conv: Convolution, *, leaky: bool) -> None:
        super().__init__()
        self.conv = conv
        # In place, so that the largest tensor of a training step is in memory only once.
        self.activation = nn.LeakyReLU(LEAK, inplace=True) if leaky else nn.ReLU(inplace=True)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch filters rows columns"]:
        """Feature maps."""
        features: Tensor = self.activation(self.conv(images))
        return features


class Plain(nn.Sequential):
    """Convolution, batch normalization, ReLU.

    Args:
        below: Input channels.
        channels: Output channels.
        stride: In pixels.
    """

    def __init__(self, below: int, channels: int, stride: int) -> None:
        super().__init__(*_normalized(below, channels, stride), nn.ReLU(inplace=True))


class Separable(nn.Module):
    """A depthwise convolution, then a 1x1 convolution across the channels (Howard et al. 2017, MobileNet).

    Both are normalized. If input and output have the same shape, the input is added before the last ReLU.
    """

    def __init__(self, below: int, channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalized(below, below, stride, groups=below),
            nn.ReLU(inplace=True),
            *_normalized(below, channels, kernel=1),
        )
        self.added = stride == 1 and below == channels

    def forward(
        self, features: Float[Tensor, "batch below height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Feature maps."""
        result: Tensor = self.layers(features)
        return torch.relu(result + features if self.added else result)


class Residual(nn.Module):
    """Two convolutions and a skip connection (He et al. 2015), all normalized.

    The skip connection is the identity if input and output have the same shape, else a 1x1 convolution.
    """

    def __init__(self, below: int, channels: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_normalized(below, channels, stride),
            nn.ReLU(inplace=True),
            *_normalized(channels, channels),
        )
        same = stride == 1 and below == channels
        self.around = nn.Sequential(*([] if same else _normalized(below, channels, stride, kernel=1)))

    def forward(
        self, features: Float[Tensor, "batch below height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Feature maps."""
        return torch.relu(self.layers(features) + self.around(features))


class RepVGG(nn.Module):
    """Parallel branches in training, one convolution after export (Ding et al. 2021, RepVGG).

    The branches are a convolution, a 1x1 convolution and, if input and output have the same shape, the identity; all
    are normalized and added. They are linear, so export merges them (`capsedge.export.fold`): a residual block at the
    cost of a plain one.
    """

    def __init__(self, below: int, channels: int, stride: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(*_normalized(below, channels, stride))
        self.pointwise = nn.Sequential(*_normalized(below, channels, stride, kernel=1))
        self.identity = BatchNorm(below) if stride == 1 and below == channels else None

    def forward(
        self, features: Float[Tensor, "batch below height width"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """Feature maps."""
        total = self.spatial(features) + self.pointwise(features)
        return torch.relu(total if self.identity is None else total + self.identity(features))


_BLOCKS = {"plain": Plain, "separable": Separable, "residual": Residual, "repvgg": RepVGG}


def blocks_of(recipe: NetworkRecipe, side: tuple[int, int]) -> list[tuple[int, int]]:
    """The blocks of a stem as (channels, stride): the recipe's, and more for larger images.

    While a side of the feature maps is longer than `network.grid`, another block halves them. So the same recipe
    takes images of 28 and of 224 pixels, and the number of routing weights, which grows with the positions, stays
    small.
    """
    blocks = [(channels, stride) for channels, stride in recipe.blocks]
    longest = max(features_of(blocks, side))
    while recipe.grid and longest > recipe.grid:
        blocks.append((blocks[-1][0], 2))
        longest = math.ceil(longest / 2)
    return blocks


def features_of(blocks: Sequence[tuple[int, int]], side: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of the blocks' feature maps."""
    for _, stride in blocks:
        side = (math.ceil(side[0] / stride), math.ceil(side[1] / stride))
    return side


def stem_side(recipe: NetworkRecipe, side: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a stem's feature maps; less than 1 where Table I's kernel does not fit."""
    if recipe.stem == "table1":
        return positions(side, recipe.kernel, padding=recipe.padding)
    return features_of(blocks_of(recipe, side), side)


def build_stem(recipe: NetworkRecipe, *, channels: int, side: tuple[int, int]) -> tuple[nn.Module, int]:
    """Build the stem of a recipe.

    Args:
        recipe: Kind, and widths or blocks.
        channels: Channels of an image.
        side: Height and width of an image, in pixels.

    Returns:
        The stem, and the channels of its feature maps.
    """
    if recipe.stem == "table1":
        conv = Convolution(channels, recipe.filters, recipe.kernel, side=side, padding=recipe.padding)
        return Table1(conv, leaky=recipe.activation == "leaky-relu"), recipe.filters
    # The first block is always plain: a depthwise convolution of an image's few channels computes too little.
    first, *others = blocks_of(recipe, side)
    blocks: list[nn.Module] = [Plain(channels, *first)]
    for (below, _), (above, stride) in zip([first, *others], others, strict=False):
        blocks.append(_BLOCKS[recipe.stem](below, above, stride))
    return nn.Sequential(*blocks), [first, *others][-1][0]


def _normalized(
    below: int, channels: int, stride: int = 1, *, kernel: int = KERNEL, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    """A convolution without a bias, and the batch normalization after it, which has one."""
    conv = SafeConv2d(below, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, BatchNorm(channels)


def _wide(values: Float[Tensor, " channels"]) -> Float[Tensor, "1 channels 1 1"]:
    return values[None, :, None, None]
