"""Dynamic routing by agreement (eqs 1 to 4; Sabour, Frosst and Hinton 2017): the paper's baseline."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
        v = self._uniform_sum(u)
        if self.iterations == 1:
            return v
        votes = self.votes(u)
        coupling = self._route(votes.detach(), v.detach())
        return (coupling.unsqueeze(2) @ votes).squeeze(2)

    def votes(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes capsules class_dim"]:
        """W_ij u_i (eq 1)."""
        classes, class_dim = self.weight.shape[2:]
        by_capsule = torch.bmm(u.transpose(0, 1), self.weight.flatten(2))
        return by_capsule.view(*by_capsule.shape[:2], classes, class_dim).permute(1, 2, 0, 3).contiguous()

    def _uniform_sum(self, u: Tensor) -> Tensor:
        """The weighted sum (eq 2) with every c_ij = 1 / classes, the softmax of b = 0 (eq 4)."""
        classes, class_dim = self.weight.shape[2:]
        return (u.flatten(1) @ self.weight.flatten(2).flatten(0, 1)).view(-1, classes, class_dim) / classes

    def _route(
        self, votes: Float[Tensor, "batch classes capsules class_dim"], v: Float[Tensor, "batch classes class_dim"]
    ) -> Float[Tensor, "batch classes capsules"]:
        """The coefficients c_ij of the last iteration; the softmax (eq 4) is over the classes."""
        logits = self._agreement(votes, v)
        for _ in range(self.iterations - 2):
            v = (torch.softmax(logits, 1).unsqueeze(2) @ votes).squeeze(2)
            logits = logits + self._agreement(votes, v)
        return torch.softmax(logits, 1)

    @staticmethod
    def _agreement(votes: Tensor, v: Tensor) -> Tensor:
        return (votes @ squash(v).unsqueeze(3)).squeeze(3)
