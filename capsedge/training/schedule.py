"""How the step lengths fall over a training."""

import math

from capsedge.recipe import TrainRecipe


def rate_factor(step: int, steps: int, recipe: TrainRecipe) -> float:
    """Factor on the initial rates at a step: 1 at the start, never below `floor / rate`.

    Weights and routing coefficients share the factor, so their ratio stays what the recipe says.

    Args:
        step: Iterations done before this one.
        steps: Iterations of the whole training.
        recipe: Schedule, decay and floor.
    """
    match recipe.schedule:
        case "constant":
            factor = 1.0
        case "step":
            factor = recipe.decay ** (step // recipe.decay_steps)
        case "cosine":
            factor = (1 + math.cos(math.pi * step / steps)) / 2
    return max(factor, min(1.0, recipe.floor / recipe.rate))
