"""Reference results: the outputs of the trained network, uncollapsed and in fp32, for every file's gate."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.data import Split
from capsedge.models import CapsNet
from capsedge.training import Run
from capsedge.training.batches import normalized

CPU = torch.device("cpu")
BATCH = 250

# From poses [images, classes, dim] and chosen classes [images, count] to pixels
# [images, count, channels * height * width].
Draw = Callable[[NDArray[np.float32], NDArray[np.intp]], NDArray[np.float32]]


@dataclass(frozen=True)
class Answers:
    """The network's outputs for some images.

    Attributes:
        images: uint8 [images, height, width, channels].
        lengths: [images, classes].
        poses: [images, classes, dim].
    """

    images: NDArray[np.uint8]
    lengths: NDArray[np.float32]
    poses: NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """The reference results that a file of a network must match.

    Attributes:
        contract: The file's contract before the verdict.
        labels: The true class or classes of each validation image: [images] or [images, labels].
        validation: The network's outputs for the validation images.
        blank: The network's outputs for the all-black and the all-white image.
        draw: The network's decoder, for given poses and classes; None for a network without one.
        warning: The warning that the network's training ended with, with what to do; "" if there was none.
    """

    contract: Contract
    labels: NDArray[np.int64]
    validation: Answers
    blank: Answers
    draw: Draw | None = None
    warning: str = ""


def reference(
    network: CapsNet, contract: Contract, split: Split, answers: Answers | None = None, *, warning: str = ""
) -> Reference:
    """Compute the reference results of a network.

    Args:
        network: The trained network.
        contract: The contract of its file.
        split: The labelled validation images.
        answers: The network's outputs for them (`answers_of`); None to compute them here.
        warning: See `Reference`; `warning_of`.
    """
    shape = split.images.shape[1:]
    blank = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    return Reference(
        contract=contract,
        labels=split.labels,
        validation=answers or answers_of(network, split.images),
        blank=answers_of(network, blank),
        draw=None if network.decoder is None else _drawing(network.decoder),
        warning=warning,
    )


def warning_of(run: Run) -> str:
    """The warning that a run's training ended with; "" if there was none, or the training has not ended."""
    return next((warning.text for warning in run.read_record().warnings), "")


@torch.no_grad()
def answers_of(network: CapsNet, images: NDArray[np.uint8]) -> Answers:
    """The network's outputs for images: uint8 [images, height, width, channels]."""
    network.eval()
    parts = []
    for batch in torch.split(torch.from_numpy(images).permute(0, 3, 1, 2), BATCH):
        capsules = network(normalized(batch))
        parts.append((capsules.lengths.numpy(), capsules.poses.numpy()))
    lengths, poses = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Answers(images, lengths, poses)


def _drawing(decoder: torch.nn.Module) -> Draw:
    @torch.no_grad()
    def draw(poses: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float32]:
        masks = torch.eye(poses.shape[1])[torch.from_numpy(classes)]  # [images, drawn, classes]
        drawn = [decoder(torch.from_numpy(poses), mask) for mask in masks.unbind(1)]
        return torch.stack(drawn, 1).numpy()

    return draw
