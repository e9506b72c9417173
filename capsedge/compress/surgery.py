"""Builds the smaller network: its recipe, and the weights that it keeps."""

from collections.abc import Mapping

import torch
from msgspec.structs import replace
from torch import Tensor

from capsedge.compress.wiring import PRIMARY, TYPES, Wiring
from capsedge.models import CapsNet, build_network
from capsedge.models.stem import blocks_of
from capsedge.recipe import NetworkRecipe, Recipe

_OF_CHANNELS = ("weight", "bias", "running_mean", "running_var")


def smaller(
    network: CapsNet,
    recipe: Recipe,
    wiring: Wiring,
    kept: Mapping[str, Tensor],
    *,
    classes: int,
    shape: tuple[int, int, int],
) -> tuple[CapsNet, Recipe]:
    """The network without the items that are not kept, and its recipe.

    Its output is that of the network with the votes of the dropped capsules, and the dropped channels, set to zero.

    Args:
        network: A trained network.
        recipe: Recipe of the network.
        wiring: Wiring of the network.
        kept: The items of each width that are kept, in ascending order.
        classes: Number of class capsules.
        shape: Height, width and channels of an image.
    """
    crop = recipe.data.crop
    side = (crop, crop) if crop else shape[:2]
    recipe = replace(recipe, network=_described(recipe.network, wiring, kept, side))
    result = build_network(recipe, classes=classes, shape=shape)
    result.load_state_dict(_sliced(network, wiring, kept))
    return result.train(network.training), recipe


def _described(
    recipe: NetworkRecipe, wiring: Wiring, kept: Mapping[str, Tensor], side: tuple[int, int]
) -> NetworkRecipe:
    recipe = replace(recipe, capsule_types=len(kept[TYPES]))
    if recipe.stem == "table1":
        return replace(recipe, filters=len(kept["stem"]))
    blocks = [
        (len(kept[wiring.width_of[f"stem.{number}"]]), stride)
        for number, (_, stride) in enumerate(blocks_of(recipe, side))
    ]
    return replace(recipe, blocks=tuple(blocks))


def _sliced(network: CapsNet, wiring: Wiring, kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the smaller network."""
    tensors = dict(network.state_dict())

    def channels(maps: str) -> Tensor:
        size = wiring.channels(maps)
        return _each(kept[wiring.width_of[maps]], size)

    for link in wiring.links:
        above = channels(link.above)
        names = [f"{layer}.{name}" for layer in (link.conv, link.norm) if layer for name in _OF_CHANNELS]
        for name in names:
            if name in tensors:
                tensors[name] = tensors[name][above]
        if link.conv and link.below and not link.depthwise:
            tensors[f"{link.conv}.weight"] = tensors[f"{link.conv}.weight"][:, channels(link.below)]
    first = "hidden.0" if network.hidden else "routing"
    capsules = _each(kept[wiring.width_of[PRIMARY]], wiring.grid)  # numbered type by type
    for name in (f"{first}.weight", f"{first}.b"):
        tensors[name] = tensors[name][capsules]
    return tensors


def _each(items: Tensor, size: int) -> Tensor:
    """The indices of all elements of the items, which have `size` elements each."""
    return (items[:, None] * size + torch.arange(size)).flatten()
