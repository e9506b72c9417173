"""Collapse: routing coefficients that are constant after training are folded into the weights.

The modules here are what is exported. They hold the layouts that make the exported graph small, so that the
trained network (capsedge.models) can stay plain.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.models import CapsNet, squash, squashed_length
from capsedge.models.routing import StaticRouting


class Deployable(nn.Module):
    """A network with its preprocessing and its two outputs: what an exported file computes.

    Args:
        capsules: Maps images [batch, channels, height, width] of 0 to 1 to class capsules before squash.
    """

    def __init__(self, capsules: nn.Module) -> None:
        super().__init__()
        self.capsules = capsules

    def forward(
        self, image: UInt8[Tensor, "batch height width channels"]
    ) -> tuple[Float[Tensor, "batch classes"], Float[Tensor, "batch classes class_dim"]]:
        """Lengths and poses of a batch of raw images."""
        # TensorRT's parser takes Cast before Transpose, not the reverse.
        v = self.capsules((image.float() * (1 / 255)).permute(0, 3, 1, 2))
        return squashed_length(v), squash(v)


class StaticCapsNet(nn.Module):
    """The collapsed network: two convolutions, squash, and one matrix product for all class capsules.

    The folded weights' rows are ordered as the second convolution leaves its channels (type, component,
    position), so the graph has no transposition between them.
    """

    weight: Tensor
    zero: Tensor

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        assert isinstance(network.routing, StaticRouting)
        self.conv = network.conv
        self.primary = network.primary.conv
        self.types, self.dim = network.primary.types, network.primary.dim
        _, _, self.classes, self.class_dim = network.routing.weight.shape
        by_capsule = network.routing.folded().detach()
        by_type = by_capsule.view(self.types, -1, self.dim, by_capsule.shape[1])
        self.register_buffer("weight", by_type.transpose(1, 2).reshape(by_capsule.shape))
        # A product with a bias is exported as one Gemm; the exporter then drops the zeros.
        self.register_buffer("zero", torch.zeros(by_capsule.shape[1]))

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash."""
        grouped = self.primary(torch.relu(self.conv(images))).flatten(2).unflatten(1, (self.types, self.dim))
        u = squash(grouped, dim=2).flatten(1)
        return torch.addmm(self.zero, u, self.weight).view(-1, self.classes, self.class_dim)


class UnrolledCapsNet(nn.Module):
    """Dynamic routing as it was trained, its iterations unrolled: the baseline for the collapsed network."""

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash."""
        v: Tensor = self.network(images).classes
        return v


def collapse(network: CapsNet) -> StaticCapsNet:
    """Fold a trained network's routing into constant weights.

    Raises:
        WrongUse: The routing depends on the image, so there is nothing constant to fold.
    """
    if not isinstance(network.routing, StaticRouting):
        raise WrongUse(
            "dynamic routing cannot be collapsed: its coefficients are found anew for each image; "
            "train with routing.kind l2, l1 or frozen"
        )
    return StaticCapsNet(network).eval()


def deployable(network: CapsNet) -> Deployable:
    """What to export for a trained network: collapsed where its routing is static, else unrolled."""
    static = isinstance(network.routing, StaticRouting)
    return Deployable(collapse(network) if static else UnrolledCapsNet(network)).eval()
