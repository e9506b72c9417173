"""The routing objective (eqs 9, 10 and 14), maximized over the routing coefficients b.

    r = data_k( sum_j delta_jk |v_jk|^2 ) - penalty(b)

v_jk = U_k^T b_j is the class capsule before squash, so |v_jk|^2 is b_j^T U_k U_k^T b_j of the equations. `data` is
the sum over the batch, as in the paper, or the mean. The penalty and its gradient are

    L2: lambda |b|_2^2, gradient 2 lambda b      (eq 13 without its step length)
    L1: lambda |b|_1,   gradient lambda sign(b), with sign(0) = 0      (eq 15)

Autograd computes the gradient of the data term. Through a static layer, whose class capsules are one product of u
with the folded weights, it is one more product: u^T [capsules * dim, batch] with [batch, classes * class_dim].
Neither U_k nor a capsules x capsules matrix is computed. Through hidden layers it is the chain rule of section III.C.
"""

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from capsedge.models.squash import squashed_length


@dataclass(frozen=True)
class RoutingObjective:
    """The objective of the routing step.

    Attributes:
        penalty: `l2` (eq 10) or `l1` (eq 14).
        weight: lambda.
        reduction: Data term as the `sum` over the batch, as in the paper, or as the `mean`.
        on: Class capsules before squash (`raw`, eq 6) or after it (`squashed`).
    """

    penalty: Literal["l2", "l1"]
    weight: float
    reduction: Literal["mean", "sum"] = "mean"
    on: Literal["raw", "squashed"] = "raw"

    def data(
        self, v: Float[Tensor, "batch classes class_dim"], signs: Float[Tensor, "batch classes"], total: int
    ) -> Float[Tensor, ""]:
        """The data term of a batch, or of a part of it; the values of the parts add up to that of the batch.

        Args:
            v: Class capsules before squash.
            signs: delta_jk.
            total: Observations in the whole batch.
        """
        energy = v.square().sum(2) if self.on == "raw" else squashed_length(v).square()
        value: Tensor = (signs * energy).sum()
        return value / total if self.reduction == "mean" else value

    def cost(self, b: Float[Tensor, "capsules classes"]) -> Float[Tensor, ""]:
        """The penalty of one layer's coefficients."""
        return self.weight * (b.square().sum() if self.penalty == "l2" else b.abs().sum())

    def cost_gradient(self, b: Float[Tensor, "capsules classes"]) -> Float[Tensor, "capsules classes"]:
        """Gradient of `cost`."""
        return self.weight * (2 * b if self.penalty == "l2" else b.sign())


def delta(targets: Float[Tensor, "batch classes"]) -> Float[Tensor, "batch classes"]:
    """delta_jk of eq 5b: 1 for a class that is present, -1 for every other.

    Args:
        targets: T_k of eq 16: 1 where the class is present, else 0.
    """
    return 2 * targets - 1
