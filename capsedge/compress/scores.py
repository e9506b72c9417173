"""The contribution of each capsule type and each channel: its share of the energy that reaches the capsules above.

A primary capsule i contributes the energy of its votes, E sum_j |b_ij W_ij u_i|^2 over training images. It depends on
the product b W alone, so it is the same for (c b, W / c). The energy of a type is the sum over its positions.

From there the shares are propagated down, layer by layer, in proportion to the energy that each channel contributes
to the next layer: of a unit's share, channel c gets |w_c|^2 E[a_c^2] out of the sum over all channels. w includes the
scale of the batch normalization; branches that are added count separately. Scaling a channel and dividing the weights
that read it changes no share. The share of a channel that is always zero is 0.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.compress.wiring import PRIMARY, TYPES, Link, Wiring, hooked
from capsedge.models import CapsNet
from capsedge.models.routing import StaticRouting
from capsedge.models.stem import BatchNorm

Rule = Literal["routing", "magnitude", "random"]
Shares = dict[str, Tensor]  # for each width a float64 number for each item, with a sum of at most 1

Images = Iterable[Float[Tensor, "batch channels height width"]]


@dataclass(frozen=True)
class Observed:
    """Statistics of a network over training images.

    Attributes:
        capsules: Energy of each primary capsule's votes, [capsules].
        squares: Mean square of each channel of the feature maps that a convolution reads, by the maps' name.
    """

    capsules: Float[Tensor, " capsules"]
    squares: dict[str, Float[Tensor, " channels"]]


@torch.no_grad()
def observed(network: CapsNet, wiring: Wiring, images: Images) -> Observed:
    """Compute the statistics of a network over images.

    The votes are never computed: with W'_i = b_i W_i, M_i = W'_i W'_i^T and C_i = E[u_i u_i^T], both [dim, dim], a
    capsule's energy is the sum of the products of their entries.

    Args:
        network: In evaluation mode.
        wiring: Wiring of the network.
        images: Batches with values 0 to 1.
    """
    layer = network.routing_layers[0]
    assert isinstance(layer, StaticRouting)
    capsules, dim = layer.weight.shape[:2]
    moments, count = torch.zeros(capsules, dim, dim, dtype=torch.float64), 0
    squares = {maps: torch.zeros((), dtype=torch.float64) for maps in wiring.width_of}

    def record(maps: str, conv: nn.Module, given: tuple[Tensor]) -> None:
        del conv
        squares[maps] = squares[maps] + given[0].double().square().mean((2, 3)).sum(0)

    readers = {link.below: link.conv for link in wiring.links if link.below and link.conv}
    with hooked(
        network.get_submodule(conv).register_forward_pre_hook(partial(record, maps)) for maps, conv in readers.items()
    ):
        for batch in images:
            u = network(batch).primary.double()
            moments += torch.einsum("bid,bie->ide", u, u)
            count += len(batch)
    weights = layer.folded().double().view(capsules, dim, -1)
    return Observed(
        capsules=(weights @ weights.transpose(1, 2) * moments).sum((1, 2)) / count,
        squares={maps: squares[maps] / count for maps in readers},
    )


def shares(network: CapsNet, wiring: Wiring, images: Images, *, by: Rule = "routing", seed: int = 0) -> Shares:
    """The share of each item of each width.

    If several feature maps have the same width, as with a skip connection, an item's share is the mean over them.

    Args:
        network: In evaluation mode.
        wiring: Wiring of the network.
        images: Batches of training images with values 0 to 1; only `routing` uses them.
        by: `routing` for the contributions above; `magnitude` for |w|^2 of the weights that compute a channel,
            including the scales of batch normalization (as Li et al. 2017 and network slimming rank filters);
            `random`.
        seed: Seed of `random`.
    """
    match by:
        case "routing":
            of_maps = _flow(network, wiring, observed(network, wiring, images))
        case "magnitude":
            of_maps = _norms(network, wiring)
        case "random":
            generator = torch.Generator().manual_seed(seed)
            of_maps = {maps: torch.rand(wiring.items(maps), generator=generator).double() for maps in wiring.width_of}
            of_maps = {maps: _normalized(each) for maps, each in of_maps.items()}
    return {
        width: torch.stack([of_maps[maps] for maps in wiring.width_of if wiring.width_of[maps] == width]).mean(0)
        for width in wiring.sizes
    }


def _flow(network: CapsNet, wiring: Wiring, found: Observed) -> Shares:
    """The share of each item of each feature map, from the primary capsules down."""
    flow = {maps: torch.zeros(wiring.items(maps), dtype=torch.float64) for maps in wiring.width_of}
    flow[PRIMARY] = _normalized(found.capsules.view(wiring.sizes[TYPES], -1).sum(1))
    for maps in reversed([*wiring.width_of]):
        energies = [
            (link.below, _energies(network, wiring, link, found.squares[link.below]))
            for link in wiring.links
            if link.above == maps and link.below
        ]
        total = sum((each.sum(1) for _, each in energies), torch.zeros(()))
        for below, each in energies:
            # A unit whose input is always zero outputs its bias alone; its share is not propagated.
            flow[below] += (flow[maps] / total).nan_to_num() @ each
    return flow


def _energies(
    network: CapsNet, wiring: Wiring, link: Link, squares: Float[Tensor, " below"]
) -> Float[Tensor, "above below"]:
    """The energy that each channel below contributes to each item above."""
    if link.conv is None:
        return (_gains(network, link) * squares).diag()
    energies = _kernel_squares(network, wiring, link) * squares
    return energies.diagonal().diag() if link.depthwise else energies


def _norms(network: CapsNet, wiring: Wiring) -> Shares:
    """The squared norm of the weights that compute each item of a feature map, as a share of the sum over items."""
    norms = {maps: torch.zeros(wiring.items(maps), dtype=torch.float64) for maps in wiring.width_of}
    for link in wiring.links:
        if link.conv:
            norms[link.above] += _kernel_squares(network, wiring, link).sum(1)
    return {maps: _normalized(each) for maps, each in norms.items()}


def _kernel_squares(network: CapsNet, wiring: Wiring, link: Link) -> Float[Tensor, "above below"]:
    """|w|^2 of the kernel from each channel below to each item above; one column if the layer is depthwise."""
    assert link.conv
    kernels = network.get_submodule(link.conv).get_parameter("weight").detach().double()
    squares = kernels.square().sum((2, 3)) * _gains(network, link)[:, None]
    return squares.view(wiring.items(link.above), -1, squares.shape[1]).sum(1)


def _gains(network: CapsNet, link: Link) -> Float[Tensor, "#channels"]:
    """The squared scale of each channel's batch normalization; 1 if there is none."""
    if link.norm is None:
        return torch.ones(1, dtype=torch.float64)
    norm = network.get_submodule(link.norm)
    assert isinstance(norm, BatchNorm)
    assert norm.running_var is not None
    return norm.weight.detach().double().square() / (norm.running_var.double() + norm.eps)


def _normalized(values: Float[Tensor, " items"]) -> Float[Tensor, " items"]:
    total = values.sum()
    return values / total if total > 0 else values
