"""Scoring a network in torch on a split, in float32 whatever it was trained in."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import one_hot

from capsedge.data import Split
from capsedge.models import CapsNet, margin_loss
from capsedge.training.batches import normalized, on_device

BATCH = 250


@dataclass(frozen=True)
class Evaluation:
    """Scores of a network on a split.

    Attributes:
        error: Share of wrong top-1 answers, 0 to 1.
        loss: Mean margin loss.
        images: How many images were scored.
    """

    error: float
    loss: float
    images: int


@torch.no_grad()
def lengths_of(network: CapsNet, split: Split, device: torch.device) -> Float[Tensor, "images classes"]:
    """Capsule lengths of every image of a split, on the CPU."""
    network.eval()
    images, _ = on_device(split, device)
    lengths = [network(normalized(batch)).lengths.cpu() for batch in torch.split(images, BATCH)]
    network.train()
    return torch.cat(lengths)


def evaluate(network: CapsNet, split: Split, device: torch.device) -> Evaluation:
    """Error rate and margin loss of a network on a split."""
    lengths = lengths_of(network, split, device)
    labels = torch.from_numpy(split.labels)
    targets = one_hot(labels, lengths.shape[1]).float()
    wrong = (lengths.argmax(1) != labels).sum().item()
    return Evaluation(wrong / len(labels), margin_loss(lengths, targets).item(), len(labels))
