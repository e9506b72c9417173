"""What the trained network, uncollapsed and in fp32, says: every file is held against it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.data import Split
from capsedge.models import CapsNet
from capsedge.training.batches import normalized

CPU = torch.device("cpu")
BATCH = 250

# From poses [images, classes, dim] and classes [images, drawn] to pixels [images, drawn, channels * height * width].
Draw = Callable[[NDArray[np.float32], NDArray[np.intp]], NDArray[np.float32]]


@dataclass(frozen=True)
class Answers:
    """What the network says of some images.

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
    """What a file of a network must say.

    Attributes:
        contract: What it promises, before any verdict.
        labels: The true class of each validation image, or its classes: [images] or [images, labels].
        validation: The network's answers to them.
        blank: Its answers to the all-black and the all-white image.
        draw: Its decoder, which draws given classes of given poses; None where it has none.
    """

    contract: Contract
    labels: NDArray[np.int64]
    validation: Answers
    blank: Answers
    draw: Draw | None = None


def reference(network: CapsNet, contract: Contract, split: Split, answers: Answers | None = None) -> Reference:
    """Compute once what every exported file of a network is held against.

    Args:
        network: The trained network.
        contract: What its files promise.
        split: The labelled validation images.
        answers: The network's to those, where they are known (`answers_of`).
    """
    shape = split.images.shape[1:]
    blank = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    return Reference(
        contract=contract,
        labels=split.labels,
        validation=answers or answers_of(network, split.images),
        blank=answers_of(network, blank),
        draw=None if network.decoder is None else _drawing(network.decoder),
    )


@torch.no_grad()
def answers_of(network: CapsNet, images: NDArray[np.uint8]) -> Answers:
    """What the network says of images: uint8 [images, height, width, channels]."""
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
