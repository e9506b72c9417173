"""The assembled network of Table I, and the builder that takes its numbers from a recipe."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models.convolution import Convolution, positions
from capsedge.models.decoder import Decoder
from capsedge.models.prepare import Prepare
from capsedge.models.primary import PrimaryCapsules
from capsedge.models.routing import Routing, routing_layer
from capsedge.models.squash import squash, squashed_length
from capsedge.recipe import Recipe

PRIMARY_STRIDE = 2  # Table I
LEAK = 0.2  # TensorFlow's slope; the paper names none
MOST_ROUTING_WEIGHTS = 500_000_000  # 2 GB in float32, and three times that with Adam; Table I has 1,474,560


class Capsules(NamedTuple):
    """What the network computes for a batch.

    Attributes:
        primary: u, [batch, capsules, dim].
        classes: v before squash, [batch, classes, class_dim].
    """

    primary: Tensor
    classes: Tensor

    @property
    def lengths(self) -> Float[Tensor, "batch classes"]:
        """How strongly each class is present, 0 to 1, each on its own."""
        return squashed_length(self.classes)

    @property
    def poses(self) -> Float[Tensor, "batch classes class_dim"]:
        """The squashed class capsules."""
        return squash(self.classes)


class CapsNet(nn.Module):
    """Convolution, primary capsules, routing through to the class capsules, and a decoder where the recipe has one.

    Args:
        prepare: Crop and standardization.
        conv: First convolution.
        activation: Its nonlinearity.
        primary: Primary capsules.
        hidden: Routing layers below the last.
        routing: Routing layer to the class capsules.
        decoder: Reconstruction network, or None.
    """

    def __init__(
        self,
        *,
        prepare: Prepare,
        conv: Convolution,
        activation: nn.Module,
        primary: PrimaryCapsules,
        hidden: Sequence[Routing],
        routing: Routing,
        decoder: Decoder | None,
    ) -> None:
        super().__init__()
        self.prepare = prepare
        self.conv = conv
        self.activation = activation
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
        u = self.primary(self.activation(self.conv(self.prepare(images))))
        return Capsules(u, self.route(u))

    def route(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash, from the primary capsules through every hidden layer."""
        # Under bf16 autocast only the convolutions are worth the lost digits: lengths decide, and stay in fp32.
        with torch.autocast(u.device.type, enabled=False):
            for layer in self.hidden:
                u = squash(layer(u))
            v: Tensor = self.routing(u)
        return v


def build_network(recipe: Recipe, *, classes: int, shape: tuple[int, int, int]) -> CapsNet:
    """Build the network of a recipe for images of `shape` (height, width, channels).

    Raises:
        WrongUse: The images are too small for the recipe's kernels or crop, or so large that the weights would not
            fit.
    """
    network = recipe.network
    height, width, channels = _prepared_shape(recipe, shape)
    # Sizes first: weights that would not fit into memory must be refused before they are made.
    features = positions((height, width), network.kernel, padding=network.padding)
    capsules = positions(features, network.kernel, stride=PRIMARY_STRIDE, padding=network.padding)
    if min(capsules) < 1:
        smallest = 2 * network.kernel - 1
        raise WrongUse(
            f"recipe '{recipe.name}' needs images of at least {smallest}x{smallest} pixels, and these have "
            f"{width}x{height}: set {'data.crop' if recipe.data.crop else 'network.kernel or data.size'}"
        )
    layers = [
        (network.capsule_types * math.prod(capsules), network.primary_dim),
        *network.hidden,
        (classes, network.class_dim),
    ]
    weights = sum(math.prod((*below, *above)) for below, above in pairwise(layers))
    if weights > MOST_ROUTING_WEIGHTS:
        raise WrongUse(
            f"recipe '{recipe.name}' would need {weights:,} routing weights for images of {width}x{height}: "
            "set data.size to a smaller side, such as 32, or network.capsule_types to fewer"
        )
    conv = Convolution(channels, network.filters, network.kernel, side=(height, width), padding=network.padding)
    primary = Convolution(
        network.filters,
        network.capsule_types * network.primary_dim,
        network.kernel,
        side=features,
        stride=PRIMARY_STRIDE,
        padding=network.padding,
    )
    *hidden, last = (
        routing_layer(recipe.routing, below=below, above=above, depth=depth)
        for depth, (below, above) in enumerate(pairwise(layers))
    )
    return CapsNet(
        prepare=Prepare(crop=recipe.data.crop, standardize=recipe.data.standardize),
        conv=conv,
        # In place: the largest tensor of a training step is kept once.
        activation=nn.LeakyReLU(LEAK, inplace=True) if network.activation == "leaky-relu" else nn.ReLU(inplace=True),
        primary=PrimaryCapsules(conv=primary, types=network.capsule_types, dim=network.primary_dim),
        hidden=hidden,
        routing=last,
        decoder=(
            Decoder(inputs=classes * network.class_dim, hidden=network.decoder, pixels=height * width * channels)
            if network.decoder
            else None
        ),
    )


def _prepared_shape(recipe: Recipe, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    height, width, channels = shape
    crop = recipe.data.crop
    if crop > min(height, width):
        raise WrongUse(f"recipe '{recipe.name}' crops to {crop}x{crop} pixels, and the images have {width}x{height}")
    return (crop, crop, channels) if crop else shape
