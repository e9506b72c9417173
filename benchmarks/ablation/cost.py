"""Cost of a network with any of the heads: its weights, and its products for one image."""

import msgspec
from msgspec.structs import replace
from torch import Tensor

from benchmarks.ablation.linear import LinearNet
from capsedge.compress.wiring import wiring_of
from capsedge.errors import WrongUse
from capsedge.models import CapsNet, build_network
from capsedge.models.routing import DynamicRouting, StaticRouting
from capsedge.recipe import Recipe, RoutingRecipe


class NetworkCost(msgspec.Struct, frozen=True, kw_only=True):
    """Cost of a folded network, counted as in docs/edge.md.

    Attributes:
        parameters: Weights of all layers, without biases.
        macs: Multiply-accumulates for one image.
        head_parameters: Weights behind the primary convolution.
        head_macs: Multiply-accumulates behind the primary convolution.
        head_shapes: Shape of each weight of the head: [capsules, dim, classes, class_dim] of routing,
            [outputs, inputs] of a linear layer.
    """

    parameters: int
    macs: int
    head_parameters: int
    head_macs: int
    head_shapes: tuple[tuple[int, ...], ...]


def cost_of(network: CapsNet, recipe: Recipe, shape: tuple[int, int, int], *, classes: int) -> NetworkCost:
    """Count a network's weights and products.

    Args:
        network: The network.
        recipe: Its recipe.
        shape: Height, width and channels of an image.
        classes: Number of classes.

    Raises:
        WrongUse: There is no rule to count the products of its routing.
    """
    # The layers below the head do not depend on it, so they are counted with a head that collapses.
    static = build_network(replace(recipe, routing=RoutingRecipe(kind="frozen")), classes=classes, shape=shape)
    wiring = wiring_of(static, shape)
    routing = sum(layer.weight.numel() for layer in static.routing_layers)
    weights = _head_weights(network)
    parameters = sum(each.numel() for each in weights)
    macs = parameters + _routed(network)
    return NetworkCost(
        parameters=wiring.parameters(wiring.sizes) - routing + parameters,
        macs=wiring.macs(wiring.sizes) - routing + macs,
        head_parameters=parameters,
        head_macs=macs,
        head_shapes=tuple(tuple(each.shape) for each in weights),
    )


def _head_weights(network: CapsNet) -> list[Tensor]:
    """The matrices of a head; one image uses each of their numbers once."""
    if isinstance(network, LinearNet):
        return [each for each in network.head.parameters() if each.ndim > 1]
    return [layer.weight for layer in network.routing_layers]


def _routed(network: CapsNet) -> int:
    """Products for one image in addition to those with the weights.

    Coefficients that collapse, and linear layers, have none. Dynamic routing takes a weighted sum of the votes in
    every iteration, and their agreement in all but the last (Sabour et al. 2017, Procedure 1). Squash, softmax and
    ReLU are not counted.

    Raises:
        WrongUse: There is no rule for the kind of routing.
    """
    products = 0
    for layer in network.routing_layers:
        if isinstance(layer, DynamicRouting):
            votes = layer.weight.numel() // layer.weight.shape[1]
            products += (2 * layer.iterations - 1) * votes
        elif not isinstance(layer, StaticRouting):
            raise WrongUse(f"the products of {type(layer).__name__} are not counted here: use l2 or dynamic routing")
    return products
