"""Dynamic routing by agreement (eqs 1 to 4; Sabour, Frosst and Hinton 2017): the paper's baseline."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.models.routing.votes import uniform_sums, votes_of, weighted_sums
from capsedge.models.squash import squash


class DynamicRouting(nn.Module):
    """Coefficients computed for each image, iteratively, from the agreement of votes with the class capsules.

    The coefficients are constants for the gradient: it flows through the votes of the last weighted sum only.

    Optimized, to be a fair baseline: the first iteration's coefficients are uniform, so its weighted sum is one
    matrix product without votes. The votes are stored once, class by class, so that every later sum is a batched
    product.

    Args:
        capsules: Number I of primary capsules.
        dim: Components D of a primary capsule.
        classes: Number J of class capsules.
        class_dim: Components K of a class capsule.
        iterations: Weighted sums of the votes; 3 in the paper.
        sigma: Standard deviation of the initial weights.
    """

    def __init__(
        self, *, capsules: int, dim: int, classes: int, class_dim: int, iterations: int = 3, sigma: float = 0.1
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.weight = nn.Parameter(torch.randn(capsules, dim, classes, class_dim) * sigma)

    def forward(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules of the last iteration, before squash."""
        v = uniform_sums(u, self.weight)  # the softmax of b = 0 (eq 4) is uniform
        if self.iterations == 1:
            return v
        votes = votes_of(u, self.weight)
        return weighted_sums(votes, self._route(votes.detach(), v.detach()))

    def _route(
        self, votes: Float[Tensor, "batch classes capsules class_dim"], v: Float[Tensor, "batch classes class_dim"]
    ) -> Float[Tensor, "batch classes capsules"]:
        """The coefficients c_ij of the last iteration; the softmax (eq 4) is over the classes."""
        logits = self._agreement(votes, v)
        for _ in range(self.iterations - 2):
            v = weighted_sums(votes, torch.softmax(logits, 1))
            logits = logits + self._agreement(votes, v)
        return torch.softmax(logits, 1)

    @staticmethod
    def _agreement(votes: Tensor, v: Tensor) -> Tensor:
        return (votes @ squash(v).unsqueeze(3)).squeeze(3)
