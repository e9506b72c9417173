"""The learning rate schedules."""

import math

from capsedge.recipe import TrainRecipe

START = 0.1  # first factor of `one-cycle`


def rate_factor(step: int, steps: int, recipe: TrainRecipe) -> float:
    """Factor on the recipe's learning rates at a step: at most 1, and at least min(1, `floor / learning_rate`).

    Weights and routing coefficients share the factor, so the ratio of their learning rates stays that of the recipe.

    Args:
        step: Iterations before this one.
        steps: Iterations of the whole training.
        recipe: Schedule, decay, warm-up and floor.
    """
    match recipe.schedule:
        case "constant":
            factor = 1.0
        case "step":
            factor = recipe.decay ** (step // recipe.decay_steps)
        case "cosine":
            factor = _half_cosine(step, steps)
        case "one-cycle":
            # Smith and Topin 2018, with cosines in place of their straight lines, as in PyTorch's OneCycleLR.
            peak = recipe.warmup * steps
            if step < peak:
                factor = 1 - (1 - START) * _half_cosine(step, peak)
            else:
                factor = _half_cosine(step - peak, steps - peak)
    return max(factor, min(1.0, recipe.floor / recipe.learning_rate))


def _half_cosine(done: float, whole: float) -> float:
    """Falls from 1 at `done` = 0 to 0 at `done` = `whole`."""
    return (1 + math.cos(math.pi * done / whole)) / 2
