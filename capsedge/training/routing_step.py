"""The routing step of Algorithm 1 (lines 7 to 9): gradient ascent on the routing objective in b, with W fixed."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from capsedge.models import CapsNet
from capsedge.models.routing import RoutingObjective, StaticRouting, delta
from capsedge.recipe import RoutingRecipe


class RoutingStep:
    """Gradient ascent on the b of every layer, by the plain steps of eqs 13 and 15 or by Adam on the same gradient.

    With `proximal`, the L1 penalty is not part of the gradient: after the step on the data term each b moves towards
    0 by rate * lambda, at most to 0. With plain steps this is the proximal gradient method. With Adam the threshold
    is not divided by Adam's second moment, as the weight decay of AdamW is not.

    Args:
        network: The network whose coefficients are learned.
        recipe: Kind, step, rate, penalty and reduction.
        summed: Sums a tensor over all devices that share a batch.
    """

    def __init__(
        self, network: CapsNet, recipe: RoutingRecipe, summed: Callable[[Tensor], Tensor] = lambda tensor: tensor
    ) -> None:
        self.network = network
        self.layers = [layer for layer in network.routing_layers if isinstance(layer, StaticRouting)]
        self.rate = recipe.learning_rate
        self.proximal = recipe.proximal
        self.objective = RoutingObjective(
            "l1" if recipe.kind == "l1" else "l2", recipe.penalty, recipe.reduction, recipe.objective
        )
        self.summed = summed
        kind = torch.optim.Adam if recipe.step == "adam" else torch.optim.SGD
        self.optimizer: torch.optim.Optimizer = kind(
            [layer.b for layer in self.layers], lr=recipe.learning_rate, maximize=True
        )

    def __call__(
        self,
        u: Float[Tensor, "batch capsules dim"],
        targets: Float[Tensor, "batch classes"],
        *,
        total: int,
        factor: float,
    ) -> None:
        """Take one step.

        Args:
            u: Primary capsules.
            targets: 1 where a class is present, else 0.
            total: Observations in the batch over all devices.
            factor: Factor of the schedule on the learning rate.
        """
        for layer, gradient in zip(self.layers, self.gradients(u, targets, total), strict=True):
            layer.b.grad = gradient if self.proximal else gradient - self.objective.cost_gradient(layer.b)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self.optimizer.step()
        if self.proximal:
            for layer in self.layers:
                layer.b.copy_(_soft_threshold(layer.b, self.rate * factor * self.objective.weight))

    def gradients(
        self, u: Float[Tensor, "batch capsules dim"], targets: Float[Tensor, "batch classes"], total: int
    ) -> list[Float[Tensor, "capsules classes"]]:
        """Gradients of the data term in each layer's b, over all devices."""
        coefficients = [layer.b.requires_grad_() for layer in self.layers]
        with torch.enable_grad():
            value = self.objective.data(self.network.route(u), delta(targets), total)
        found = torch.autograd.grad(value, coefficients)
        for b in coefficients:  # a constant in the weight step
            b.requires_grad_(False)
        return [self.summed(gradient) for gradient in found]


def _soft_threshold(b: Tensor, width: float) -> Tensor:
    """The proximal map of width * |b|_1."""
    return b.sign() * (b.abs() - width).clamp_min(0)


def routing_step(
    network: CapsNet, recipe: RoutingRecipe, summed: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> RoutingStep | None:
    """The routing step of a recipe; None if b has no objective of its own."""
    return RoutingStep(network, recipe, summed) if recipe.kind in ("l2", "l1") else None


def coefficient_statistics(network: CapsNet) -> dict[str, float] | None:
    """Mean, standard deviation, largest magnitude, share of negative and of zero b; None if the routing has no b.

    The paper's Assumption 1 excludes negative coefficients in dynamic routing. A zero b removes a link.
    """
    every = [layer.b.detach().flatten() for layer in network.routing_layers if isinstance(layer, StaticRouting)]
    if not every:
        return None
    b = torch.cat(every)
    return {
        "mean": b.mean().item(),
        "spread": b.std().item(),
        "largest": b.abs().max().item(),
        "negative": (b < 0).float().mean().item(),
        "zero": (b == 0).float().mean().item(),
    }
