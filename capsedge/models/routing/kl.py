"""Routing as clustering with an entropy term (Wang and Liu 2018): coordinate descent on an explicit objective.

For one image, with unit-norm transformations and votes o_ij = W_ij u_i / |W_ij|_F, minimize over c and s

    sum_ij c_ij (alpha log c_ij - <o_ij, s_j>),    c_ij >= 0,  sum_j c_ij = 1,  |s_j| <= 1

Up to a constant the entropy term is alpha times the KL divergence of c_i from uniform coefficients. Each of the two
steps is the exact minimum over c or s while the other is fixed, so the objective never rises:

    c_ij = exp(<o_ij, s_j> / alpha) / sum_l exp(<o_il, s_l> / alpha)        s_j = S_j / |S_j|,  S_j = sum_i c_ij o_ij

Dynamic routing adds up the agreements of all its iterations and has no such objective; here the coefficients depend
on the last centres alone. As alpha grows, they become uniform.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.models.routing.votes import uniform_sums, votes_of, weighted_sums

LEAST_NORM = 1e-6  # shorter vectors are divided by it: zero stays zero


class KLRouting(nn.Module):
    """KL-regularized routing between two capsule layers.

    After Wang and Liu, as our paper describes their work ([9]): dynamic routing as clustering with a KL term, solved
    by coordinate descent. We believe that the unit norms of centres and transformations are theirs too; their text
    was not available to compare. Chosen here, to make it comparable with `DynamicRouting`: the first coefficients are
    uniform; the output is the last weighted sum S_j, whose length squash maps to the activation; and the coefficients
    are constants for the gradient.

    Args:
        capsules: Number I of primary capsules.
        dim: Components D of a primary capsule.
        classes: Number J of class capsules.
        class_dim: Components K of a class capsule.
        iterations: Weighted sums of the votes.
        sigma: Standard deviation of the initial weights. The output does not depend on their scale; the angle that an
            optimizer step turns them by does.
        temperature: alpha: the larger, the more uniform the coefficients. Votes are shorter than 1.
    """

    def __init__(
        self,
        *,
        capsules: int,
        dim: int,
        classes: int,
        class_dim: int,
        iterations: int = 3,
        sigma: float = 0.1,
        temperature: float = 0.3,
    ) -> None:
        super().__init__()
        self.iterations = iterations
        self.temperature = temperature
        self.weight = nn.Parameter(torch.randn(capsules, dim, classes, class_dim) * sigma)

    def forward(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes class_dim"]:
        """Class capsules S_j of the last iteration, before squash."""
        weight = _unit(self.weight, dim=(1, 3))
        sums = uniform_sums(u, weight)
        if self.iterations == 1:
            return sums
        votes = votes_of(u, weight)
        return weighted_sums(votes, self._route(votes.detach(), sums.detach()))

    def _route(
        self, votes: Float[Tensor, "batch classes capsules class_dim"], sums: Float[Tensor, "batch classes class_dim"]
    ) -> Float[Tensor, "batch classes capsules"]:
        """The coefficients of the last iteration."""
        coupling = couple(votes, centres(sums), self.temperature)
        for _ in range(self.iterations - 2):
            coupling = couple(votes, centres(weighted_sums(votes, coupling)), self.temperature)
        return coupling


def couple(
    votes: Float[Tensor, "batch classes capsules class_dim"],
    centres: Float[Tensor, "batch classes class_dim"],
    temperature: float,
) -> Float[Tensor, "batch classes capsules"]:
    """The step in c: the minimum for these centres.

    Args:
        votes: o_ij.
        centres: s_j.
        temperature: alpha.
    """
    return torch.softmax((votes @ centres.unsqueeze(3)).squeeze(3) / temperature, 1)


def centres(sums: Float[Tensor, "batch classes class_dim"]) -> Float[Tensor, "batch classes class_dim"]:
    """The step in s: the minimum for these sums. For a zero sum every centre is a minimum; zero is returned."""
    return _unit(sums, dim=(2,))


def _unit(tensor: Tensor, dim: tuple[int, ...]) -> Tensor:
    """The tensor, scaled to norm 1 over `dim`."""
    norm: Tensor = torch.linalg.vector_norm(tensor, dim=dim, keepdim=True)
    return tensor / norm.clamp_min(LEAST_NORM)
