"""Dropout whose masks depend on the seed and the step alone, as the order and the augmentation of images do."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.data.counter import key_of


class SharedDropout(nn.Dropout2d):
    """Dropout of whole channels (Tompson et al. 2015) for trainings that are resumed or run on several devices.

    The masks are drawn for the whole batch and divided among the devices, as its images are. So a checkpoint holds no
    state of it, and N devices drop the same channels as one. The network's own `Dropout2d` draws from a generator,
    whose state differs after a restart and is the same on every device although their images differ.

    Args:
        p: Share of the channels to drop.
        seed: The recipe's seed.
        rank: Number of this rank.
        ranks: Ranks that share each batch.
    """

    def __init__(self, p: float, *, seed: int, rank: int, ranks: int) -> None:
        super().__init__(p)
        self.seed = seed
        self.share = slice(rank, None, ranks)
        self.step = self.total = 0

    def begin(self, step: int, total: int) -> None:
        """Set the masks of all passes until the next call.

        Args:
            step: Weight steps before this one.
            total: Images in the batch over all ranks.
        """
        self.step, self.total = step, total

    def forward(
        self, input: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The channels that are kept, scaled by 1 / (1 - p) to preserve the mean."""
        if not self.training:
            return input
        generator = torch.Generator().manual_seed(key_of(self.seed, self.step))
        stays = torch.rand(self.total, input.shape[1], generator=generator)[self.share] >= self.p
        factors = (stays / (1 - self.p))[:, :, None, None]
        if input.device.type == "cuda":  # for an asynchronous copy, as of the images
            factors = factors.pin_memory()
        return input * factors.to(input.device, input.dtype, non_blocking=True)
