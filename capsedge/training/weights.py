"""The optimizer of the weights, and their moving average, which is validated and saved."""

from collections.abc import Iterator
from copy import deepcopy
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from capsedge.models import CapsNet
from capsedge.models.routing import StaticRouting
from capsedge.recipe import TrainRecipe


def weights_optimizer(network: CapsNet, recipe: TrainRecipe) -> torch.optim.AdamW:
    """Adam or, if the recipe has `weight_decay`, AdamW (Loshchilov and Hutter 2019).

    The decay applies to parameters of more than one dimension, which are kernels and matrices, but not to
    coefficients b that are parameters. Biases and normalization do not decay. Without decay the steps are Adam's to
    the bit.

    Args:
        network: The network, on its device.
        recipe: Learning rate and weight decay.
    """
    coefficients = {id(layer.b) for layer in network.routing_layers if isinstance(layer, StaticRouting)}
    kept: list[Tensor] = []
    decaying: list[Tensor] = []
    for each in network.parameters():
        decays = recipe.weight_decay and each.ndim > 1 and id(each) not in coefficients
        (decaying if decays else kept).append(each)
    # A checkpoint numbers the parameters group by group; without decay there is one group.
    groups: list[dict[str, Any]] = [{"params": kept, "weight_decay": 0.0}]
    if decaying:
        groups.append({"params": decaying, "weight_decay": recipe.weight_decay})
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


class Average:
    """The exponential moving average of a network: weights, b and the running statistics of normalization.

    The decay at step t is min(decay, (1 + t) / (10 + t)), as in TensorFlow's `ExponentialMovingAverage` with
    `num_updates`, so the influence of the random start soon vanishes. PyTorch's `AveragedModel` keeps t in a tensor
    and reads it at every step, which waits for a GPU.

    Args:
        start: The network before its first step, on its device.
        decay: Share of the old average that is kept at a step, 0 to 1.

    Attributes:
        network: The averaged network, for evaluation only.
    """

    def __init__(self, start: CapsNet, decay: float) -> None:
        self.decay = decay
        self.network = deepcopy(start).requires_grad_(False)

    @torch.no_grad()
    def update(self, network: CapsNet, step: int) -> None:
        """Update the average after a step.

        Args:
            network: The network after the step.
            step: Steps before this one, t.
        """
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(_state(self.network), _state(network), strict=True):
            if mine.is_floating_point():
                mine.lerp_(theirs, share)
            else:  # a count of batches
                mine.copy_(theirs)


def _state(network: CapsNet) -> Iterator[Tensor]:
    return chain(network.parameters(), network.buffers())
