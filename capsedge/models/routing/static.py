"""Routing whose coefficients b are the same for all images (eq 6): `l2`, `l1` and `frozen`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class StaticRouting(nn.Module):
    """v_j = sum_i b_ij W_ij u_i (eq 6): no softmax, b of either sign, b fixed after training.

    The votes W_ij u_i (94 MB at batch 128 in Table I's network) are never computed: b is folded into W, and v is one
    matrix product of the flattened capsules with the folded weights.

    `b` is a buffer, because the routing step trains it and the margin loss does not (see `objective`).

    Args:
        capsules: Number I of primary capsules.
        dim: Components D of a primary capsule.
        classes: Number J of class capsules.
        class_dim: Components K of a class capsule.
        b0: Initial value of every coefficient.
        sigma: Standard deviation of the initial weights.
    """

    b: Tensor

    def __init__(
        self, *, capsules: int, dim: int, classes: int, class_dim: int, b0: float = 1.0, sigma: float = 0.02
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(capsules, dim, classes, class_dim) * sigma)
        self.register_buffer("b", torch.full((capsules, classes), b0))

    def folded(self) -> Float[Tensor, "inputs outputs"]:
        """W with b folded in, [capsules * dim, classes * class_dim]: the constant weights after the collapse."""
        return (self.weight * self.b[:, None, :, None]).flatten(2).flatten(0, 1)

    def forward(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules before squash."""
        return (u.flatten(1) @ self.folded()).view(-1, *self.weight.shape[2:])
