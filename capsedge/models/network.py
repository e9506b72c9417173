"""The assembled network, and the function that builds it from a recipe."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models.convolution import Convolution, Padding, positions
from capsedge.models.decoder import Decoder
from capsedge.models.prepare import Prepare
from capsedge.models.primary import PrimaryCapsules
from capsedge.models.routing import Routing, routing_layer, with_b0
from capsedge.models.squash import squash, squashed_length
from capsedge.models.stem import BatchNorm, build_stem, stem_side
from capsedge.recipe import NetworkRecipe, Recipe

MOST_ROUTING_WEIGHTS = 500_000_000  # 2 GB in float32, and three times that with Adam; Table I has 1,474,560


class Capsules(NamedTuple):
    """The capsules of a batch.

    Attributes:
        primary: u, [batch, capsules, dim].
        classes: v before squash, [batch, classes, class_dim].
    """

    primary: Tensor
    classes: Tensor

    @property
    def lengths(self) -> Float[Tensor, "batch classes"]:
        """Lengths of the squashed class capsules, 0 to 1: each class's score, independent of the others."""
        return squashed_length(self.classes)

    @property
    def poses(self) -> Float[Tensor, "batch classes class_dim"]:
        """The squashed class capsules."""
        return squash(self.classes)


class CapsNet(nn.Module):
    """Stem, primary capsules, routing layers up to the class capsules, and a decoder where the recipe has one.

    Args:
        prepare: Crop and standardization.
        stem: From prepared images to feature maps.
        channels: Channels of an image.
        dropout: Share of the feature maps' channels that are set to zero in training.
        primary: Primary capsules.
        hidden: Routing layers below the last.
        routing: Routing layer to the class capsules.
        decoder: Reconstruction network, or None.
    """

    def __init__(
        self,
        *,
        prepare: Prepare,
        stem: nn.Module,
        channels: int,
        dropout: float,
        primary: PrimaryCapsules,
        hidden: Sequence[Routing],
        routing: Routing,
        decoder: Decoder | None,
    ) -> None:
        super().__init__()
        self.prepare = prepare
        self.stem = stem
        self.channels = channels
        self.dropout = nn.Dropout2d(dropout)
        self.primary = primary
        self.hidden = nn.ModuleList(hidden)
        self.routing = routing
        self.decoder = decoder

    @property
    def routing_layers(self) -> list[Routing]:
        """All routing layers, from the primary capsules up."""
        return [*self.hidden, self.routing]

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Capsules:
        """Primary and class capsules of images with values 0 to 1."""
        u = self.primary(self.dropout(self.stem(self.prepare(images))))
        return Capsules(u, self.route(u))

    def route(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash, from the primary capsules through every hidden layer."""
        # Under bf16 autocast only the convolutions lose precision; the lengths, which decide the answer, stay in
        # fp32.
        with torch.autocast(u.device.type, enabled=False):
            for layer in self.hidden:
                u = squash(layer(u))
            v: Tensor = self.routing(u)
        return v


def build_network(recipe: Recipe, *, classes: int, shape: tuple[int, int, int]) -> CapsNet:
    """Build the network of a recipe for images of `shape` (height, width, channels).

    Raises:
        WrongUse: The images are too small for the recipe's kernels or crop, or so large that the weights would not
            fit into memory.
    """
    network = recipe.network
    height, width, channels = _prepared_shape(recipe, shape)
    kernel = _primary_kernel(network)
    # Sizes first: weights that would not fit into memory are refused before they are allocated.
    features, capsules = _grids(network, (height, width))
    table1 = network.stem == "table1"
    # Blocks pad, so they accept an image of any size. If it is smaller than the product of their strides, one
    # position is left, and most of its input is padding.
    smallest = network.kernel + kernel - 1 if table1 else math.prod(stride for _, stride in network.blocks)
    if min(features) < 1 or min(capsules) < 1 or (not table1 and max(height, width) < smallest):
        way_out = "data.crop" if recipe.data.crop else f"network.{'kernel' if table1 else 'blocks'} or data.size"
        raise WrongUse(
            f"recipe '{recipe.name}' needs images of at least {smallest}x{smallest} pixels, and these have "
            f"{width}x{height}",
            f"set {way_out}",
        )
    layers = [
        (network.capsule_types * math.prod(capsules), network.primary_dim),
        *network.hidden,
        (classes, network.class_dim),
    ]
    weights = sum(math.prod((*below, *above)) for below, above in pairwise(layers))
    if weights > MOST_ROUTING_WEIGHTS:
        raise WrongUse(
            f"recipe '{recipe.name}' would need {weights:,} routing weights for images of {width}x{height}",
            "set data.size to a smaller side, such as 32, or network.capsule_types to fewer",
        )
    stem, maps = build_stem(network, channels=channels, side=(height, width))
    primary = Convolution(
        maps,
        network.capsule_types * network.primary_dim,
        kernel,
        side=features,
        stride=network.primary_stride,
        padding=_primary_padding(network),
        bias=table1,  # else the batch normalization after it has one
    )
    routing = with_b0(recipe.routing, layers[0][0])
    *hidden, last = (
        routing_layer(routing, below=below, above=above, depth=depth)
        for depth, (below, above) in enumerate(pairwise(layers))
    )
    return CapsNet(
        prepare=Prepare(crop=recipe.data.crop, standardize=recipe.data.standardize),
        stem=stem,
        channels=channels,
        dropout=network.dropout,
        primary=PrimaryCapsules(
            conv=primary,
            types=network.capsule_types,
            dim=network.primary_dim,
            norm=BatchNorm(primary.out_channels) if not table1 else None,
        ),
        hidden=hidden,
        routing=last,
        decoder=(
            Decoder(inputs=classes * network.class_dim, hidden=network.decoder, pixels=height * width * channels)
            if network.decoder
            else None
        ),
    )


def primary_capsules(recipe: Recipe, shape: tuple[int, int, int]) -> int:
    """Number of primary capsules that `build_network` gives a recipe's network for images of `shape`."""
    height, width, _ = _prepared_shape(recipe, shape)
    _, capsules = _grids(recipe.network, (height, width))
    return recipe.network.capsule_types * math.prod(capsules)


def _grids(network: NetworkRecipe, side: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns of the feature maps, and of the primary capsules; below 1 where a kernel does not fit."""
    features = stem_side(network, side)
    return features, positions(
        features, _primary_kernel(network), stride=network.primary_stride, padding=_primary_padding(network)
    )


def _primary_kernel(network: NetworkRecipe) -> int:
    return network.primary_kernel or network.kernel


def _primary_padding(network: NetworkRecipe) -> Padding:
    return network.padding if network.stem == "table1" else "even"


def _prepared_shape(recipe: Recipe, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    height, width, channels = shape
    crop = recipe.data.crop
    if crop > min(height, width):
        raise WrongUse(f"recipe '{recipe.name}' crops to {crop}x{crop} pixels, and the images have {width}x{height}")
    return (crop, crop, channels) if crop else shape
