"""The routing step of Algorithm 1 (lines 7 to 9): ascend the routing objective in b, with W fixed."""

import torch
from torch import Tensor

from capsedge.models.routing import Penalty, Routing, StaticRouting, delta, objective_gradient
from capsedge.recipe import RoutingRecipe


class RoutingStep:
    """Ascent on b, as the plain steps of eqs 13 and 15 or with Adam on the same gradient.

    Args:
        layer: The routing layer whose `b` is learned.
        recipe: Kind, step, rate, penalty and reduction.
    """

    def __init__(self, layer: StaticRouting, recipe: RoutingRecipe) -> None:
        self.layer = layer
        self.rate = recipe.rate
        self.penalty = Penalty("l1" if recipe.kind == "l1" else "l2", recipe.penalty, recipe.reduction)
        kind = torch.optim.Adam if recipe.step == "adam" else torch.optim.SGD
        self.optimizer: torch.optim.Optimizer = kind([layer.b], lr=recipe.rate, maximize=True)

    @torch.no_grad()
    def __call__(self, u: Tensor, labels: Tensor, factor: float) -> None:
        """Take one step.

        Args:
            u: Primary capsules, [batch, capsules, dim].
            labels: [batch].
            factor: The schedule's factor on the rate.
        """
        layer = self.layer
        signs = delta(labels, layer.b.shape[1])
        layer.b.grad = objective_gradient(u, layer(u), layer.weight, layer.b, signs, self.penalty)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * factor
        self.optimizer.step()


def routing_step(layer: Routing, recipe: RoutingRecipe) -> RoutingStep | None:
    """The routing step of a recipe, or None where nothing but the weights is learned."""
    if recipe.kind in ("l2", "l1") and isinstance(layer, StaticRouting):
        return RoutingStep(layer, recipe)
    return None


def coefficient_statistics(layer: Routing) -> dict[str, float] | None:
    """Mean, spread, largest magnitude, share of negative and of zero b; None where the routing has no b.

    A negative b is what the paper's Assumption 1 forbids to dynamic routing; a zero one is a link that is off.
    """
    if not isinstance(layer, StaticRouting):
        return None
    b = layer.b
    return {
        "mean": b.mean().item(),
        "spread": b.std().item(),
        "largest": b.abs().max().item(),
        "negative": (b < 0).float().mean().item(),
        "zero": (b == 0).float().mean().item(),
    }
