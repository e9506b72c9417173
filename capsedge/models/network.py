"""The assembled network of Table I, and the builder that takes its numbers from a recipe."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models.decoder import Decoder
from capsedge.models.primary import PrimaryCapsules
from capsedge.models.routing import DynamicRouting, Routing, StaticRouting
from capsedge.models.squash import squash, squashed_length
from capsedge.recipe import Recipe

PRIMARY_STRIDE = 2  # Table I
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
    """Convolution, primary capsules, routing to class capsules, and a decoder where the recipe has one.

    Args:
        conv: First convolution.
        primary: Primary capsules.
        routing: Routing layer.
        decoder: Reconstruction network, or None.
    """

    def __init__(
        self, *, conv: nn.Conv2d, primary: PrimaryCapsules, routing: Routing, decoder: Decoder | None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.primary = primary
        self.routing = routing
        self.decoder = decoder

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Capsules:
        """Primary and class capsules of images with values 0 to 1."""
        u = self.primary(torch.relu(self.conv(images)))
        # Under bf16 autocast only the convolutions are worth the lost digits: lengths decide, and stay in fp32.
        with torch.autocast(u.device.type, enabled=False):
            return Capsules(u, self.routing(u))


def build_network(recipe: Recipe, *, classes: int, shape: tuple[int, int, int]) -> CapsNet:
    """Build the network of a recipe for images of `shape` (height, width, channels).

    Raises:
        WrongUse: The images are too small for the recipe's kernels, or so large that the weights would not fit.
    """
    network, routing = recipe.network, recipe.routing
    height, width, channels = shape
    positions = _positions(height, network.kernel) * _positions(width, network.kernel)
    if positions == 0:
        smallest = 2 * network.kernel - 1
        raise WrongUse(
            f"recipe '{recipe.name}' needs images of at least {smallest}x{smallest} pixels, and these have "
            f"{width}x{height}: set network.kernel or data.size"
        )
    weights = network.capsule_types * positions * network.primary_dim * classes * network.class_dim
    if weights > MOST_ROUTING_WEIGHTS:
        raise WrongUse(
            f"recipe '{recipe.name}' would need {weights:,} routing weights for images of {width}x{height}: "
            "set data.size to a smaller side, such as 32, or network.capsule_types to fewer"
        )
    sizes = {
        "capsules": network.capsule_types * positions,
        "dim": network.primary_dim,
        "classes": classes,
        "class_dim": network.class_dim,
    }
    return CapsNet(
        conv=nn.Conv2d(channels, network.filters, network.kernel),
        primary=PrimaryCapsules(
            in_channels=network.filters,
            types=network.capsule_types,
            dim=network.primary_dim,
            kernel=network.kernel,
            stride=PRIMARY_STRIDE,
        ),
        routing=(
            DynamicRouting(**sizes, iterations=routing.iterations, sigma=routing.sigma)
            if routing.kind == "dynamic"
            else StaticRouting(**sizes, b0=routing.b0, sigma=routing.sigma)
        ),
        decoder=(
            Decoder(inputs=classes * network.class_dim, hidden=network.decoder, pixels=height * width * channels)
            if network.decoder
            else None
        ),
    )


def _positions(side: int, kernel: int) -> int:
    """Positions of primary capsules along one side of an image of `side` pixels."""
    features = side - kernel + 1
    return max(0, (features - kernel) // PRIMARY_STRIDE + 1)
