"""Minibatches from images that lie on the device once: order, normalization and augmentation in whole batches.

All randomness is a function of (seed, epoch, batch): nothing has to be saved to continue an interrupted epoch.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import pad

from capsedge.data import Split


class Batches:
    """Shuffled training minibatches.

    Args:
        split: Training images.
        batch_size: Images in a minibatch; the last of an epoch may be smaller.
        seed: The recipe's seed.
        shift: Largest random shift in pixels, 0 for none.
        device: Where the images live and the batches are made.
    """

    def __init__(self, split: Split, *, batch_size: int, seed: int, shift: int, device: torch.device) -> None:
        self.images, self.labels = on_device(split, device)
        self.batch_size = batch_size
        self.seed = seed
        self.shift = shift

    def __len__(self) -> int:
        """Minibatches in an epoch."""
        return math.ceil(len(self.labels) / self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images [batch, channels, height, width] of 0 to 1 and labels [batch].

        Args:
            epoch: Number of the epoch; each has its own order.
            first: Minibatches to leave out at the start, when an epoch is resumed.
        """
        order = torch.randperm(len(self.labels), generator=_generator(self.seed, epoch))
        for index, part in enumerate(torch.split(order, self.batch_size)):
            if index < first:
                continue
            chosen = part.to(self.labels.device)
            images = normalized(self.images[chosen])
            if self.shift:
                offsets = _offsets(len(chosen), self.shift, _generator(self.seed, epoch, index))
                images = shifted(images, offsets.to(images.device))
            yield images, self.labels[chosen]


def on_device(split: Split, device: torch.device) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, " n"]]:
    """A split's images in NCHW order and its labels, on the device."""
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).contiguous()
    return images.to(device), torch.from_numpy(split.labels).to(device)


def normalized(images: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pixels of 0 to 1, by the very product that the exported graph does."""
    return images.float() * (1 / 255)


def shifted(
    images: Float[Tensor, "batch channels height width"], offsets: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch channels height width"]:
    """Move each image by its own (down, right) offset in pixels; what comes in is black.

    Args:
        images: A batch.
        offsets: Whole pixels, of either sign.
    """
    reach = int(offsets.abs().max())
    padded = pad(images, (reach, reach, reach, reach))
    height, width = images.shape[2:]
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    rows = torch.arange(height, device=images.device)[None, :, None] + reach - offsets[:, 0, None, None]
    columns = torch.arange(width, device=images.device)[None, None, :] + reach - offsets[:, 1, None, None]
    return padded.permute(0, 2, 3, 1)[batch, rows, columns].permute(0, 3, 1, 2).contiguous()


def _offsets(count: int, reach: int, generator: torch.Generator) -> Tensor:
    return torch.randint(-reach, reach + 1, (count, 2), generator=generator)


def _generator(*key: int) -> torch.Generator:
    """A generator on the CPU, whatever the device, so that every device sees the same training."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % 2**63
    return torch.Generator().manual_seed(seed)
