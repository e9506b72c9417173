"""Primary capsules: a convolution whose channels are grouped into vectors, one group a capsule at one position."""

from jaxtyping import Float
from torch import Tensor, nn

from capsedge.models.squash import squash


class PrimaryCapsules(nn.Module):
    """Cap1 of Table I.

    A capsule is `dim` channels at one position, never a run of pixels: channel t * dim + d is component d of
    capsule type t. Capsules are numbered type by type, position by position: i = t * positions + p.

    Args:
        conv: Gives types * dim channels.
        types: Capsules at each position.
        dim: Components of a capsule.
        norm: Batch normalization of the channels, before squash; None for Table I's, which have none.
    """

    def __init__(self, *, conv: nn.Conv2d, types: int, dim: int, norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__()
        self.types = types
        self.dim = dim
        self.conv = conv
        self.norm = norm

    def forward(self, features: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch capsules dim"]:
        """Squashed primary capsules u_i, in float32 whatever the convolution's precision."""
        maps = self.conv(features).float()
        if self.norm is not None:
            maps = self.norm(maps)
        grouped = maps.unflatten(1, (self.types, self.dim)).flatten(3)
        # A transposed view would make every later use slower, so the capsules are laid out once.
        return squash(grouped.transpose(2, 3).flatten(1, 2).contiguous())
