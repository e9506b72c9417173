"""Collapse: routing coefficients that are constant after training are folded into the weights.

The modules here are the ones that are exported. They hold the layouts that make the exported graph small, so that
the trained network (capsedge.models) stays simple.
"""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from capsedge.errors import WrongUse
from capsedge.export.decoder import LongestDecoder
from capsedge.export.fold import folded
from capsedge.models import CapsNet
from capsedge.models.routing import Routing, StaticRouting


class Deployable(nn.Module):
    """A network with its preprocessing and outputs, as an exported file computes it.

    Args:
        capsules: Maps images [batch, channels, height, width], values 0 to 1, to class capsules before squash.
        decoder: Reconstructs the image from the longest capsules; None for a file without a reconstruction.
    """

    def __init__(self, capsules: nn.Module, decoder: LongestDecoder | None = None) -> None:
        super().__init__()
        self.capsules = capsules
        self.decoder = decoder

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of `forward`."""
        return ("lengths", "poses") if self.decoder is None else ("lengths", "poses", "reconstruction")

    def forward(self, image: UInt8[Tensor, "batch height width channels"]) -> tuple[Tensor, ...]:
        """Run the network on a batch of raw images.

        Returns:
            Lengths [batch, classes], poses [batch, classes, class_dim], and, with a decoder, the reconstruction
            (`LongestDecoder.forward`).
        """
        # TensorRT's parser accepts Cast before Transpose, but not Transpose before Cast. ONNX Runtime multiplies an
        # image of one channel slowly while that axis is the last.
        v = self.capsules(image.float().permute(0, 3, 1, 2) * (1 / 255))
        poses = squashed(v)
        lengths = torch.linalg.vector_norm(poses, dim=-1)
        if self.decoder is None:
            return lengths, poses
        return lengths, poses, self.decoder(lengths, poses, image.shape[1:])


class HiddenCapsules(nn.Module):
    """A collapsed hidden layer: one matrix product and squash.

    Args:
        weight: Transformations with the coefficients folded in, [inputs, capsules * dim].
        shape: Number of capsules and number of components of each.
    """

    weight: Tensor
    zero: Tensor

    def __init__(self, weight: Float[Tensor, "inputs outputs"], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("weight", weight)
        self.register_buffer("zero", torch.zeros(weight.shape[1]))

    def forward(self, u: Float[Tensor, "batch inputs"]) -> Float[Tensor, "batch outputs"]:
        """Squashed capsules, concatenated."""
        return squashed(_product(u, self.weight, self.zero).view(-1, *self.shape)).flatten(1)


class StaticCapsNet(nn.Module):
    """The collapsed network: stem, primary capsules, and one matrix product for each capsule layer above them.

    The rows of the first product's weight are ordered by position, type and component. A runtime whose convolutions
    keep the channels last, as ONNX Runtime's int8 kernels do, then needs no transposition; in fp32 the order does not
    change the latency.

    Args:
        network: A network without batch normalization (`capsedge.export.fold`).
    """

    weight: Tensor
    zero: Tensor

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.prepare = network.prepare
        self.stem = network.stem
        self.primary = network.primary.conv
        self.types, self.dim = network.primary.types, network.primary.dim
        self.classes, self.class_dim = network.routing.weight.shape[2:]
        by_capsule, *others = map(_folded, network.routing_layers)
        by_type = by_capsule.view(self.types, -1, self.dim, by_capsule.shape[1])
        *hidden, last = by_type.transpose(0, 1).reshape(by_capsule.shape), *others
        shapes = [layer.weight.shape[2:] for layer in network.routing_layers[:-1]]
        self.hidden = nn.Sequential(*map(HiddenCapsules, hidden, shapes))
        self.register_buffer("weight", last)
        self.register_buffer("zero", torch.zeros(last.shape[1]))

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash."""
        maps = self.primary(self.stem(self.prepare(images)))
        by_position = maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[2] * maps.shape[3] * self.types, self.dim)
        u = self.hidden(squashed(by_position).flatten(1))
        return _product(u, self.weight, self.zero).view(-1, self.classes, self.class_dim)


class UnrolledCapsNet(nn.Module):
    """Routing that is computed for each image, its iterations unrolled: the baseline for the collapsed network."""

    def __init__(self, network: CapsNet) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash."""
        v: Tensor = self.network(images).classes
        return v


def squashed(v: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Squash (eq 3) of vectors along the last axis in as few operators as possible: v / (|v| + 1 / |v|).

    A zero vector gives zero, since 1 / 0 is infinity in IEEE 754, and so does a vector whose norm is too small to
    have a finite reciprocal. There is no epsilon that an optimizer could remove. Training needs a gradient at zero
    and uses `capsedge.models.squash`, which has one.
    """
    norm: Tensor = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
    return v / (norm + norm.reciprocal())


def collapse(network: CapsNet) -> StaticCapsNet:
    """Fold a trained network's routing, and its batch normalization, into constant weights.

    Raises:
        WrongUse: The routing coefficients depend on the image, so they cannot be folded.
    """
    if not collapsible(network):
        raise WrongUse(
            f"{type(network.routing).__name__} cannot be collapsed: its coefficients are computed for each image",
            "train with routing.kind l2, l1, frozen or backprop",
        )
    return StaticCapsNet(folded(network)).eval()


def collapsible(network: CapsNet) -> bool:
    """Whether the network's routing coefficients are constants that can be folded into its weights."""
    return all(isinstance(layer, StaticRouting) for layer in network.routing_layers)


def deployable(network: CapsNet, decoder: bool = False, *, labels: int = 1) -> Deployable:
    """The module to export for a trained network: collapsed if its routing is static, otherwise unrolled.

    Args:
        network: The trained network.
        decoder: Whether the file also reconstructs the image from the longest capsules.
        labels: Number of classes that each image shows, and so of reconstructions.

    Raises:
        WrongUse: The decoder is requested, but the network was trained without one.
    """
    capsules = collapse(network) if collapsible(network) else UnrolledCapsNet(folded(network))
    return Deployable(capsules, _drawing(network, labels) if decoder else None).eval()


def _drawing(network: CapsNet, labels: int) -> LongestDecoder:
    if network.decoder is None:
        raise WrongUse(
            "the network was trained without a decoder, so it has no reconstruction",
            "train one with --set 'network.decoder=[512, 1024]', or export without the reconstruction",
        )
    return LongestDecoder(network.decoder, labels=labels, channels=network.channels, crop=network.prepare.crop)


def _folded(layer: Routing) -> Float[Tensor, "inputs outputs"]:
    assert isinstance(layer, StaticRouting)
    return layer.folded().detach()


def _product(
    u: Float[Tensor, "batch inputs"], weight: Float[Tensor, "inputs outputs"], zero: Float[Tensor, " outputs"]
) -> Float[Tensor, "batch outputs"]:
    # A product with a bias is exported as one Gemm; the exporter then removes the bias of zeros.
    return torch.addmm(zero, u, weight)
