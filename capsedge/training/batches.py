"""Minibatches from images that are kept on the device: order, pairs, normalization and augmentation in whole batches.

All random numbers are functions of (seed, epoch, batch): nothing has to be saved to resume an interrupted epoch, and
several ranks together process the same images as one.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from capsedge.data import Overlaid, Split
from capsedge.data.balance import is_uneven
from capsedge.data.counter import key_of, permuted
from capsedge.data.overlap import bordered, laid_over
from capsedge.recipe import DataRecipe
from capsedge.training.augment import Augmentation, shifted

__all__ = ["Batch", "Batches", "normalized", "on_device", "shifted"]

Order = Callable[[int, int], Tensor]  # items of an epoch from a first position to before a last one


class Batch(NamedTuple):
    """One rank's part of a minibatch; it may have no images if the last batch of an epoch is small.

    Attributes:
        images: Pixels of 0 to 1.
        labels: One or two for each image.
        parts: The decoder's target for each label: the image before erasing, or each of the two images before they
            were overlapped, without changes of brightness and contrast.
        total: Images in the minibatch over all ranks.
    """

    images: Float[Tensor, "batch channels height width"]
    labels: Int[Tensor, "batch labels"]
    parts: Float[Tensor, "batch labels channels height width"]
    total: int


class Batches:
    """Shuffled training minibatches.

    Args:
        data: Training images, or the virtual set of overlapped ones.
        recipe: Augmentation, and the number of images of a virtual set in an epoch.
        batch_size: Images in a minibatch over all ranks; the last of an epoch may be smaller.
        seed: The recipe's seed.
        device: Device that holds the images and makes the batches.
        rank: Number of this rank.
        ranks: Ranks that share each minibatch.
    """

    def __init__(
        self,
        data: Split | Overlaid,
        *,
        recipe: DataRecipe,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        self.source = (
            _Pairs(data, recipe, device)
            if isinstance(data, Overlaid)
            else _Singles(data, device, balance=recipe.balance)
        )
        self.augmentation = Augmentation(recipe, data.shape)
        self.batch_size = batch_size
        self.seed = seed
        self.device = device
        self.share = slice(rank, None, ranks)

    @property
    def images(self) -> int:
        """Images in an epoch over all ranks."""
        return self.source.images

    def __len__(self) -> int:
        """Minibatches in an epoch."""
        return math.ceil(self.images / self.batch_size)

    def epoch(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """Yield this rank's part of each minibatch.

        Args:
            epoch: Number of the epoch; each has its own order.
            first: Minibatches to skip when an epoch is resumed.
        """
        order = self.source.order(self.seed, epoch)
        for index in range(first, len(self)):
            start = index * self.batch_size
            items = order(start, min(start + self.batch_size, self.images))
            draws = self.augmentation.draw(len(items), _generator(self.seed, epoch, index))
            yield self._batch(items[self.share], [each[self.share] for each in draws], len(items))

    def _batch(self, items: Tensor, draws: list[Tensor], total: int) -> Batch:
        parts, labels = self.source.read(items)
        single = parts.shape[1] == 1
        pixels = parts[:, 0] if single else laid_over(parts)
        rows = [_sent(each, self.device) for each in draws]
        whole = self.augmentation.whole(normalized(pixels), rows)
        images = self.augmentation.erased(whole, rows)
        return Batch(images, labels, whole[:, None] if single else normalized(parts), total)


class _Singles:
    """Single images; an epoch has each once or, if it is balanced, equally many of each class.

    Args:
        split: The images.
        device: Device that holds them.
        balance: Whether to balance the classes if they are uneven (`is_uneven`). The epoch keeps its number of
            images.
            Those of a class are drawn in one random order after another, so the images of a class differ by at most
            one in how often they occur.
    """

    def __init__(self, split: Split, device: torch.device, *, balance: bool) -> None:
        self.pixels, self.labels = on_device(split, device)
        self.images = len(split)
        self.members = (
            [torch.from_numpy(np.flatnonzero(split.labels == label)) for label in np.unique(split.labels)]
            if balance and is_uneven(split.labels)
            else []
        )

    def order(self, seed: int, epoch: int) -> Order:
        generator = _generator(seed, epoch)
        order = torch.randperm(self.images, generator=generator)
        if self.members:
            order = self._balanced(generator)[order]
        sent = _sent(order, self.labels.device)
        return lambda start, stop: sent[start:stop]

    def _balanced(self, generator: torch.Generator) -> Tensor:
        """Equally many images of each class, in the order of the classes; the first classes have the remainder."""
        share, more = divmod(self.images, len(self.members))
        chosen = []
        for number, members in enumerate(self.members):
            count = share + (number < more)
            rounds = [
                members[torch.randperm(len(members), generator=generator)] for _ in range(-(-count // len(members)))
            ]
            chosen.append(torch.cat(rounds)[:count])
        return torch.cat(chosen)

    def read(self, items: Tensor) -> tuple[UInt8[Tensor, "n 1 c h w"], Int[Tensor, "n 1"]]:
        return self.pixels[items][:, None], self.labels[items]


class _Pairs:
    """Overlapped images; the epochs together go through one random order of all pairs, then through the next."""

    def __init__(self, data: Overlaid, recipe: DataRecipe, device: torch.device) -> None:
        self.data = data
        self.pixels = torch.from_numpy(bordered(data.base.images)).to(device)
        self.labels = torch.from_numpy(data.base.labels).to(device)
        self.images = recipe.epoch_images or len(data)

    def order(self, seed: int, epoch: int) -> Order:
        def items(start: int, stop: int) -> Tensor:
            numbers = epoch * self.images + np.arange(start, stop)
            rounds, positions = np.divmod(numbers, len(self.data))
            # A batch can contain the end of one round and the start of the next.
            chosen = [
                permuted(positions[rounds == turn], len(self.data), key_of(seed, turn)) for turn in np.unique(rounds)
            ]
            return torch.from_numpy(np.concatenate(chosen))

        return items

    def read(self, items: Tensor) -> tuple[UInt8[Tensor, "n 2 c h w"], Int[Tensor, "n 2"]]:
        device = self.pixels.device
        indices, offsets = (_sent(torch.from_numpy(each), device) for each in self.data.draw(items.numpy()))
        places = self.data.places(indices, offsets, count=partial(torch.arange, device=device))
        return self.pixels[places].permute(0, 1, 4, 2, 3).contiguous(), self.labels[indices]


def on_device(split: Split, device: torch.device) -> tuple[UInt8[Tensor, "n c h w"], Int[Tensor, "n labels"]]:
    """A split's images in NCHW order and its labels, one or two for each image, on the device."""
    images = torch.from_numpy(split.images).permute(0, 3, 1, 2).contiguous()
    labels = torch.from_numpy(split.labels).reshape(len(split), split.labels_per_image)
    return images.to(device), labels.to(device)


def normalized(images: UInt8[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Pixels of 0 to 1, by the same multiplication as in the exported graph."""
    return images.float() * (1 / 255)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on the device. The copy to a GPU is asynchronous, which needs pinned memory."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.contiguous().pin_memory().to(device, non_blocking=True)


def _generator(*key: int) -> torch.Generator:
    """A generator on the CPU, so that a training has the same random numbers on every device."""
    seed = 0
    for part in key:
        seed = (seed * 1_000_003 + part + 1) % 2**63
    return torch.Generator().manual_seed(seed)
