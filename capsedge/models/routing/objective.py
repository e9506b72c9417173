"""The routing objective (eqs 9, 10 and 14) and its gradient in b, computed for a whole batch by two matrix products.

    r_j = data_k( delta_jk b_j^T U_k U_k^T b_j ) - penalty_j      (ascended in b)

U_k^T b_j is the class capsule v_jk before squash, so the data term is delta_jk |v_jk|^2. Its gradient in b_ij is
2 data_k(delta_jk <W_ij u_ik, v_jk>) = 2 <W_ij, M_ij> with M_ij = data_k(u_ik (delta_jk v_jk)^T): one product of
[capsules * dim, batch] with [batch, classes * class_dim]. No U_k and no capsules x capsules matrix is formed.

`data` is the sum over the batch, as the equations write it, or the mean; the penalty is

    L2: lambda |b_j|_2^2, gradient 2 lambda b_j      (eq 13 without its step length)
    L1: lambda |b_j|_1,   gradient lambda sign(b_j), with sign(0) = 0      (eq 15)

so the plain step b += gamma * gradient is eq 13, or eq 15.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Penalty:
    """The regularizer on b and the reduction of the data term.

    Attributes:
        kind: `l2` (eq 10) or `l1` (eq 14).
        weight: lambda.
        reduction: `sum` over the batch as the equations write it, or `mean`.
    """

    kind: Literal["l2", "l1"]
    weight: float
    reduction: Literal["mean", "sum"] = "mean"


def delta(labels: Int[Tensor, " batch"], classes: int) -> Float[Tensor, "batch classes"]:
    """delta_jk of eq 5b: 1 for the label's capsule, -1 for every other."""
    signs = torch.full((len(labels), classes), -1.0, device=labels.device)
    return signs.scatter_(1, labels[:, None], 1.0)


def objective(
    v: Float[Tensor, "batch classes class_dim"],
    b: Float[Tensor, "capsules classes"],
    signs: Float[Tensor, "batch classes"],
    penalty: Penalty,
) -> Float[Tensor, ""]:
    """Value of eq 10 or eq 14, summed over the class capsules j.

    Args:
        v: Class capsules before squash, computed with `b`.
        b: Routing coefficients.
        signs: delta_jk.
        penalty: Regularizer and reduction.
    """
    data = (signs * v.square().sum(-1)).sum()
    if penalty.reduction == "mean":
        data = data / len(v)
    return data - penalty.weight * (b.square().sum() if penalty.kind == "l2" else b.abs().sum())


def objective_gradient(
    u: Float[Tensor, "batch capsules dim"],
    v: Float[Tensor, "batch classes class_dim"],
    weight: Float[Tensor, "capsules dim classes class_dim"],
    b: Float[Tensor, "capsules classes"],
    signs: Float[Tensor, "batch classes"],
    penalty: Penalty,
) -> Float[Tensor, "capsules classes"]:
    """Gradient of `objective` in b.

    Args:
        u: Primary capsules.
        v: Class capsules before squash, computed from `u`, `weight` and `b`.
        weight: W.
        b: Routing coefficients.
        signs: delta_jk.
        penalty: Regularizer and reduction.
    """
    signed = (signs[:, :, None] * v).flatten(1)
    if penalty.reduction == "mean":
        signed = signed / len(v)
    m = (u.flatten(1).T @ signed).view_as(weight)
    data = 2 * (weight * m).sum((1, 3))
    return data - penalty.weight * (2 * b if penalty.kind == "l2" else b.sign())
