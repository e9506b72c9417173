"""How the step lengths rise and fall over a training."""

import math

from capsedge.recipe import TrainRecipe

START = 0.1  # of `one-cycle`: its first factor


def rate_factor(step: int, steps: int, recipe: TrainRecipe) -> float:
    """Factor on the recipe's rates at a step: at most 1, never below `floor / rate`.

    Weights and routing coefficients share the factor, so their ratio stays what the recipe says.

    Args:
        step: Iterations done before this one.
        steps: Iterations of the whole training.
        recipe: Schedule, decay, warmup and floor.
    """
    match recipe.schedule:
        case "constant":
            factor = 1.0
        case "step":
            factor = recipe.decay ** (step // recipe.decay_steps)
        case "cosine":
            factor = _half_cosine(step, steps)
        case "one-cycle":
            # Smith and Topin 2018, with cosines for their straight lines as in PyTorch's OneCycleLR.
            peak = recipe.warmup * steps
            if step < peak:
                factor = 1 - (1 - START) * _half_cosine(step, peak)
            else:
                factor = _half_cosine(step - peak, steps - peak)
    return max(factor, min(1.0, recipe.floor / recipe.learning_rate))


def _half_cosine(done: float, whole: float) -> float:
    """From 1, where nothing is done, to 0."""
    return (1 + math.cos(math.pi * done / whole)) / 2
