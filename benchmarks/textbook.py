"""Dynamic routing by the textbook (Sabour et al. 2017, Procedure 1): the plain baseline of the benchmarks.

It computes every vote, writes every sum as a product and a reduction, and starts every iteration from all logits.
capsedge's own `DynamicRouting` computes the same numbers with less work. The benchmarks show both, so that the
learned routing is also compared with an efficient implementation.
"""

import torch
from torch import Tensor

from capsedge.models import squash


def textbook_routing(weight: Tensor, u: Tensor, iterations: int = 3) -> Tensor:
    """Class capsules before squash.

    Args:
        weight: W, [capsules, dim, classes, class_dim].
        u: Primary capsules, [batch, capsules, dim].
        iterations: Number of weighted sums.
    """
    votes = torch.einsum("idjk,bid->bijk", weight, u)
    constant_votes = votes.detach()  # as in the authors' code: the gradient flows through the last sum only
    logits = torch.zeros(votes.shape[:3], device=votes.device)
    for _ in range(iterations - 1):
        coupling = torch.softmax(logits, 2)
        v = (coupling.unsqueeze(3) * constant_votes).sum(1)
        logits = logits + (constant_votes * squash(v).unsqueeze(1)).sum(3)
    return (torch.softmax(logits, 2).unsqueeze(3) * votes).sum(1)
