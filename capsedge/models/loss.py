"""The losses of the weights, one value for each image: margin loss (eq 16), distillation and reconstruction."""

from jaxtyping import Float
from torch import Tensor

M_PLUS, M_MINUS, DOWN_WEIGHT = 0.9, 0.1, 0.5  # Sabour et al. 2017, section 3
TAUGHT_WEIGHT = 2.0  # ours


def margin_loss(
    lengths: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """Eq 16, summed over the classes.

    Args:
        lengths: Lengths of the squashed class capsules.
        targets: T_k: 1 where the class is present, else 0.
    """
    present = (M_PLUS - lengths).clamp_min(0).square()
    absent = (lengths - M_MINUS).clamp_min(0).square()
    return (targets * present + DOWN_WEIGHT * (1 - targets) * absent).sum(1)


def distillation_loss(
    lengths: Float[Tensor, "batch classes"], taught: Float[Tensor, "batch classes"]
) -> Float[Tensor, " batch"]:
    """2 |lengths - taught|^2, summed over the classes.

    After Hinton, Vinyals and Dean 2015: a teacher's outputs for the wrong classes carry more information than the
    label. They compare softened probabilities, which depend on each other because they sum to 1. Capsule lengths are
    independent, so they are compared one by one, as the margin loss compares them with T_k.

    Args:
        lengths: Lengths of the squashed class capsules.
        taught: The teacher's lengths on the same images, or the mean of several teachers'.
    """
    return TAUGHT_WEIGHT * (lengths - taught).square().sum(1)


def reconstruction_loss(
    reconstruction: Float[Tensor, "batch pixels"], images: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, " batch"]:
    """Squared error, summed over the pixels (Sabour et al. 2017, section 4.1)."""
    return (reconstruction - images.flatten(1)).square().sum(1)
