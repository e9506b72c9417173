"""EM routing between matrix capsules (Hinton, Sabour and Frosst 2018): class capsules as Gaussian clusters of votes.

A capsule is a pose matrix and an activation. Procedure 1 of the paper, for one image, where V_ij = M_i W_ij is the
vote of capsule i for class j, h counts a vote's components, and R_ij starts as 1 / classes:

    M-step   r_ij = R_ij a_i,   m_j = sum_i r_ij
             mu_jh = sum_i r_ij V_ijh / m_j,   s2_jh = sum_i r_ij (V_ijh - mu_jh)^2 / m_j
             a_j = sigmoid(lambda (beta_a_j - sum_h cost_jh)),   cost_jh = (beta_u_j + log s_jh) m_j
    E-step   R_ij = a_j p_ij / sum_l a_l p_il,   p_ij = the density of V_ij under the Gaussian (mu_j, s2_j)

Both steps need sums over i or h of V and of V^2 only. So these two are stored once, side by side, and each step is
one batched product with them: the differences V - mu are never computed. That form needs float32.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from capsedge.errors import WrongUse

LEAST_VARIANCE = 5e-4  # added to s2, as in the code that Google published later (google-research, capsule_em)
LEAST_MASS = 1e-6  # so that an image without active capsules does not divide by zero
LEAST_NORM = 1e-6
LARGEST_LOGIT = 10.0  # sigmoid(10) = 0.99995; without a bound exp overflows, and so does an exported log sigmoid
WARMING = 0.95  # see EMRouting._inverse_temperature
INITIAL_BETA_A = -2.0  # a capsule starts inactive, unless its votes agree


class Clusters(NamedTuple):
    """The Gaussians of the class capsules after an M-step.

    Attributes:
        mean: mu, [batch, classes, dim].
        variance: s2, [batch, classes, dim].
        logit: The activation before its sigmoid, [batch, classes], within LARGEST_LOGIT.
    """

    mean: Tensor
    variance: Tensor
    logit: Tensor


class EMRouting(nn.Module):
    """EM routing, unrolled, with gradients through all iterations.

    Where this differs from the paper:

    * A primary capsule's activation is the length of its vector, as everywhere in this project, and its pose matrix
      is the vector itself, row by row. The paper computes the activation by a separate unit.
    * A class's activation is also the length of its squashed capsule: v_j = mu_j / |mu_j| exp(logit_j / 2) has
      |v_j|^2 / (1 + |v_j|^2) = sigmoid(logit_j). So the margin loss and the decoder work as with every other routing.
    * The cost is a mean: over the components h, and over the I / J capsules of each class in an even division
      (Gritzman 2019 calls the missing division a pitfall). So the logits have the same scale for a hundred capsules
      as for ten thousand, and a temperature near 1 fits both.
    * A logit is kept within LARGEST_LOGIT, and a variance above LEAST_VARIANCE.
    * The paper gives no schedule for lambda, and no initial beta: see `_inverse_temperature` and INITIAL_BETA_A.

    Args:
        capsules: Number I of primary capsules.
        dim: Components of a primary capsule: a square number, as 16 for matrices of 4 x 4.
        classes: Number J of class capsules.
        class_dim: Components of a class capsule; the same as `dim`.
        iterations: M-steps, with an E-step between each two.
        sigma: Standard deviation of the initial weights.
        temperature: 1 / lambda in the last iteration: the smaller, the closer to 0 or 1 the activations are.

    Raises:
        WrongUse: The dimensions are not one square number.
    """

    def __init__(
        self,
        *,
        capsules: int,
        dim: int,
        classes: int,
        class_dim: int,
        iterations: int = 3,
        sigma: float = 0.5,
        temperature: float = 0.5,
    ) -> None:
        super().__init__()
        self.side = math.isqrt(dim)
        if dim != class_dim or dim != self.side**2:
            raise WrongUse(
                "routing.kind em multiplies square pose matrices: it needs network.primary_dim = network.class_dim = "
                f"a square such as 16 (and the same in network.hidden), and they are {dim} and {class_dim}"
            )
        self.iterations = iterations
        self.temperature = temperature
        self.weight = nn.Parameter(torch.randn(capsules, self.side, classes, self.side) * sigma)
        self.beta_a = nn.Parameter(torch.full((classes,), INITIAL_BETA_A))
        self.beta_u = nn.Parameter(torch.zeros(classes))

    def forward(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes dim"]:
        """Class capsules before squash: the direction of mu_j, with the length that squash maps to a_j."""
        powers = self._powers(u)
        activation = torch.linalg.vector_norm(u, dim=2)
        classes = powers.shape[1]
        assignment = torch.full_like(activation, 1 / classes).unsqueeze(1).repeat(1, classes, 1)
        clusters = self._m_step(powers, assignment, activation, 0)
        for iteration in range(1, self.iterations):
            assignment = _e_step(powers, clusters)
            clusters = self._m_step(powers, assignment, activation, iteration)
        norm = torch.linalg.vector_norm(clusters.mean, dim=2, keepdim=True).clamp_min(LEAST_NORM)
        v: Tensor = clusters.mean / norm * torch.exp(clusters.logit / 2).unsqueeze(2)
        return v

    def votes(self, u: Float[Tensor, "batch capsules dim"]) -> Float[Tensor, "batch classes capsules dim"]:
        """V_ij = M_i W_ij, row by row.

        Each row of M_i is multiplied by the same W_ij, so for the flattened rows it is one product with a block
        diagonal matrix. Multiplying its zeros takes less time than rearranging the votes in rows of four numbers.
        """
        capsules, side, classes, _ = self.weight.shape
        rows = torch.eye(side, dtype=u.dtype, device=u.device).view(1, side, 1, 1, side, 1)
        blocks = (rows * self.weight.view(capsules, 1, side, classes, 1, side)).view(capsules, side**2, -1)
        by_capsule = torch.bmm(u.transpose(0, 1), blocks).view(capsules, -1, classes, side**2)
        return by_capsule.permute(1, 2, 0, 3)

    def _powers(self, u: Tensor) -> Float[Tensor, "batch classes capsules twice_dim"]:
        """V and V^2, side by side."""
        votes = self.votes(u)
        return torch.cat((votes, votes.square()), 3)

    def _m_step(
        self,
        powers: Float[Tensor, "batch classes capsules twice_dim"],
        assignment: Float[Tensor, "batch classes capsules"],
        activation: Float[Tensor, "batch capsules"],
        iteration: int,
    ) -> Clusters:
        weights = assignment * activation.unsqueeze(1)
        mass = weights.sum(2)
        moments = (weights.unsqueeze(2) @ powers).squeeze(2) / mass.clamp_min(LEAST_MASS).unsqueeze(2)
        mean, mean_square = moments.chunk(2, 2)
        # Rounding may make the difference negative.
        variance = (mean_square - mean.square()).clamp_min(0) + LEAST_VARIANCE
        share = mass * (powers.shape[1] / powers.shape[2])
        cost = share * (self.beta_u + variance.log().mean(2) / 2)
        logit = self._inverse_temperature(iteration) * (self.beta_a - cost)
        return Clusters(mean, variance, logit.clamp(-LARGEST_LOGIT, LARGEST_LOGIT))

    def _inverse_temperature(self, iteration: int) -> float:
        """lambda, which grows over the iterations as 1 - 0.95^(t + 1) to 1 / temperature in the last.

        The growth is the authors' (their answer in the paper's open review). It is scaled here so that the last
        value, and so the meaning of `temperature`, does not depend on the number of iterations.
        """
        return (1 - WARMING ** (iteration + 1)) / (1 - WARMING**self.iterations) / self.temperature


def _e_step(
    powers: Float[Tensor, "batch classes capsules twice_dim"], clusters: Clusters
) -> Float[Tensor, "batch classes capsules"]:
    """R_ij, from logarithms: a log density is a linear function of V and V^2.

    The factors 2 pi are the same for every class and cancel. The logarithm of the activation is written as a
    softplus, because the exporter writes logsigmoid(x) as log(sigmoid(x)), which is -inf in float32 at x = -100.
    """
    mean, variance, logit = clusters
    natural = torch.cat((mean / variance, -0.5 / variance), 2)
    constant = -functional.softplus(-logit) - 0.5 * (variance.log() + mean.square() / variance).sum(2)
    return torch.softmax((natural.unsqueeze(2) @ powers.transpose(2, 3)).squeeze(2) + constant.unsqueeze(2), 1)
