"""Primary capsules: a convolution whose channels are grouped into vectors; each group is one capsule per position."""

from jaxtyping import Float
from torch import Tensor, nn

from capsedge.models.squash import squash


class PrimaryCapsules(nn.Module):
    """Cap1 of Table I.

    A capsule is `dim` channels at one position, not neighbouring pixels: channel t * dim + d is component d of
    capsule type t. Capsules are numbered type by type, position by position: i = t * positions + p.

    Args:
        conv: Convolution with types * dim output channels.
        types: Capsules at each position.
        dim: Components of a capsule.
        norm: Batch normalization of the channels, before squash; None for Table I's network.
    """

    def __init__(self, *, conv: nn.Conv2d, types: int, dim: int, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.types = types
        self.dim = dim
        self.conv = conv
        self.norm = norm

    def forward(self, features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch capsules dim"]:
        """Squashed primary capsules u_i, in float32 for every precision of the convolution."""
        maps = self.conv(features).float()
        if self.norm is not None:
            maps = self.norm(maps)
        grouped = maps.unflatten(1, (self.types, self.dim)).flatten(3)
        # Copied once: a transposed view would make every later use slower.
        return squash(grouped.transpose(2, 3).flatten(1, 2).contiguous())
