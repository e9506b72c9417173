"""Votes of the primary capsules and their weighted sums, for routings that compute coefficients for each image."""

import torch
from jaxtyping import Float
from torch import Tensor


def votes_of(
    u: Float[Tensor, "batch capsules dim"], weight: Float[Tensor, "capsules dim classes class_dim"]
) -> Float[Tensor, "batch classes capsules class_dim"]:
    """W_ij u_i (eq 1), stored once and class by class, so that every later sum is a batched product."""
    by_capsule = torch.bmm(u.transpose(0, 1), weight.flatten(2))
    return by_capsule.view(*by_capsule.shape[:2], *weight.shape[2:]).permute(1, 2, 0, 3).contiguous()


def uniform_sums(
    u: Float[Tensor, "batch capsules dim"], weight: Float[Tensor, "capsules dim classes class_dim"]
) -> Float[Tensor, "batch classes class_dim"]:
    """The weighted sums (eq 2) with every c_ij = 1 / classes: one matrix product, without votes."""
    classes, class_dim = weight.shape[2:]
    return (u.flatten(1) @ weight.flatten(2).flatten(0, 1)).view(-1, classes, class_dim) / classes


def weighted_sums(
    votes: Float[Tensor, "batch classes capsules class_dim"], coupling: Float[Tensor, "batch classes capsules"]
) -> Float[Tensor, "batch classes class_dim"]:
    """The sums of the votes, weighted by the coefficients (eq 2)."""
    return (coupling.unsqueeze(2) @ votes).squeeze(2)
