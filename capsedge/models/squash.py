"""The squash nonlinearity (eq 3); its value and its gradient are finite at zero.

squash(v) = |v|^2 / (1 + |v|^2) * v / |v| = v * |v| / (1 + |v|^2): the divisor of the second form is never zero, so it
needs no epsilon, which ONNX optimizers may remove.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def squash(v: Float[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """Shrink vectors to a length below 1 and keep their direction (eq 3).

    A zero vector gives zero with a zero gradient, which is the true derivative: squash is of second order at 0.

    Args:
        v: Vectors along `dim`.
        dim: The dimension that holds a vector's components.
    """
    norm: Tensor = torch.linalg.vector_norm(v, dim=dim, keepdim=True)
    return v * (norm / (1 + norm * norm))


def squashed_length(v: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch"]:
    """Length of squash(v), |v|^2 / (1 + |v|^2), without a square root, whose gradient is infinite at zero."""
    energy = v.square().sum(-1)
    return energy / (1 + energy)
