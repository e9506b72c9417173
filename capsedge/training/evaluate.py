"""Scores a network in torch on a split, always in float32."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from capsedge.data import Split
from capsedge.models import CapsNet, margin_loss
from capsedge.scoring import confusion, wrong_answers
from capsedge.training.batches import normalized, on_device

BATCH = 250


@dataclass(frozen=True)
class Evaluation:
    """Scores of a network on a split.

    Attributes:
        error: Share of wrong answers, 0 to 1 (`capsedge.scoring`).
        loss: Mean margin loss.
        images: Number of images.
        confusion: Images by class and by answer, [classes, classes]; None if images show two classes.
    """

    error: float
    loss: float
    images: int
    confusion: NDArray[np.int64] | None = None


@torch.no_grad()
def lengths_of(network: CapsNet, split: Split, device: torch.device) -> Float[Tensor, "images classes"]:
    """Capsule lengths of every image of a split, on the CPU; the network's mode is restored."""
    training = network.training
    network.eval()
    images, _ = on_device(split, device)
    lengths = [network(normalized(batch)).lengths.cpu() for batch in torch.split(images, BATCH)]
    network.train(training)
    return torch.cat(lengths)


def evaluate(
    network: CapsNet,
    split: Split,
    device: torch.device,
    *,
    classes: int,
    rank: int = 0,
    ranks: int = 1,
    summed: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Evaluation:
    """Error rate and margin loss of a network on a split.

    Args:
        network: The network.
        split: Labelled images.
        device: Device of the network.
        classes: Number of classes.
        rank: Number of this device; each scores every ranks-th image.
        ranks: Devices that share the work.
        summed: Sums a tensor over all devices.
    """
    mine = Split(split.images[rank::ranks], split.labels[rank::ranks])
    sums = torch.zeros(2, dtype=torch.float64)
    counts = torch.zeros(classes, classes, dtype=torch.float64)
    if len(mine):
        lengths = lengths_of(network, mine, device)
        targets = multi_hot(torch.from_numpy(mine.labels).view(len(mine), -1), lengths.shape[1])
        sums[0] = int(wrong_answers(lengths.numpy(), mine.labels).sum())
        sums[1] = margin_loss(lengths, targets).double().sum()
        if split.labels_per_image == 1:
            counts += torch.from_numpy(confusion(lengths.numpy(), mine.labels))
    totals = summed(torch.cat([sums, counts.flatten()]).to(device if device.type == "cuda" else "cpu")).cpu()
    wrong, loss = totals[:2].tolist()
    return Evaluation(
        error=wrong / len(split),
        loss=loss / len(split),
        images=len(split),
        confusion=totals[2:].view(classes, classes).long().numpy() if split.labels_per_image == 1 else None,
    )


def multi_hot(labels: Int[Tensor, "batch labels"], classes: int) -> Float[Tensor, "batch classes"]:
    """T_k of eq 16: 1 for each class that is present."""
    return torch.zeros(len(labels), classes, device=labels.device).scatter_(1, labels, 1.0)
