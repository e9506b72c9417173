"""Convolution with the two paddings that the papers use: none, or enough that a side shrinks by the stride alone."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import pad

Padding = Literal["valid", "same"]


class Convolution(nn.Conv2d):
    """A convolution of square kernels.

    `same` pads as TensorFlow does, which made the papers' networks: the output has ceil(side / stride) positions, and
    where the zeros cannot be spread evenly, the odd one goes to the bottom and to the right.

    Args:
        in_channels: Channels below.
        out_channels: Kernels.
        kernel: Side of a kernel, in pixels.
        side: Height and width of the images below, in pixels.
        stride: In pixels.
        padding: `valid` or `same`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        side: tuple[int, int],
        stride: int = 1,
        padding: Padding = "valid",
    ) -> None:
        height, width = ((0, 0) if padding == "valid" else _zeros(pixels, kernel, stride) for pixels in side)
        even = height[0] == height[1] and width[0] == width[1]
        super().__init__(in_channels, out_channels, kernel, stride, (height[0], width[0]) if even else 0)
        self.margins = (0, 0, 0, 0) if even else (*width, *height)  # left, right, top, bottom

    def forward(
        self, input: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels rows columns"]:
        """Feature maps."""
        return super().forward(pad(input, self.margins) if any(self.margins) else input)


def positions(side: tuple[int, int], kernel: int, *, stride: int = 1, padding: Padding = "valid") -> tuple[int, int]:
    """Rows and columns that a convolution gives; less than 1 where the kernel does not fit.

    Args:
        side: Height and width of the images below, in pixels.
        kernel: Side of a kernel, in pixels.
        stride: In pixels.
        padding: `valid` or `same`.
    """
    if padding == "same":
        return math.ceil(side[0] / stride), math.ceil(side[1] / stride)
    return (side[0] - kernel) // stride + 1, (side[1] - kernel) // stride + 1


def _zeros(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after one side of an image."""
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
