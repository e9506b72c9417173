"""Dropout whose masks follow from the seed and the step alone, as the order and the variations of images do."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from capsedge.data.counter import key_of


class SharedDropout(nn.Dropout2d):
    """Dropout of whole channels (Tompson et al. 2015) for a training that can be interrupted and shared by devices.

    The masks are drawn for the whole batch and then divided, as its images are. So nothing has to be saved for an
    interrupted training, and N devices leave out what one would. The network's own `Dropout2d` draws from the state
    of a generator, which is another one after a restart, and on every device the same for other images.

    Args:
        p: Share of the channels to leave out.
        seed: The recipe's seed.
        rank: Which of the ranks this is.
        ranks: How many share each batch.
    """

    def __init__(self, p: float, *, seed: int, rank: int, ranks: int) -> None:
        super().__init__(p)
        self.seed = seed
        self.share = slice(rank, None, ranks)
        self.step = self.total = 0

    def begin(self, step: int, total: int) -> None:
        """Fix the masks of the passes to come, which are the same until the next call.

        Args:
            step: Weight steps before this one.
            total: Images in the batch over all ranks.
        """
        self.step, self.total = step, total

    def forward(
        self, input: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch channels rows columns"]:
        """The channels that stay, larger by 1 / (1 - p), so that their mean stays too."""
        if not self.training:
            return input
        generator = torch.Generator().manual_seed(key_of(self.seed, self.step))
        stays = torch.rand(self.total, input.shape[1], generator=generator)[self.share] >= self.p
        factors = (stays / (1 - self.p))[:, :, None, None]
        if input.device.type == "cuda":  # a GPU gets them in its turn, as it does the images
            factors = factors.pin_memory()
        return input * factors.to(input.device, input.dtype, non_blocking=True)
