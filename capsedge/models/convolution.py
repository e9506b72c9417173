"""Convolution with the two paddings that the papers use, none or TensorFlow's `same`, and with PyTorch's even one."""

import math
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

Padding = Literal["valid", "same", "even"]


FEWEST = 8
"""Input channels below which oneDNN's strided 1x1 convolution is not used; see `SafeConv2d`."""


class SafeConv2d(nn.Conv2d):
    """PyTorch's convolution with a workaround for a defect in oneDNN.

    On processors with AVX2, the gradient of a strided 1x1 convolution with fewer than eight input channels in
    channels-last order writes past its memory (oneDNN of PyTorch 2.13; a test shows it). Such a convolution selects
    the pixels first and then uses stride 1, which gives the same sums.
    """

    def forward(
        self, input: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels rows columns"]:
        """Feature maps."""
        single = self.kernel_size == (1, 1) and self.padding == (0, 0)
        if not single or self.stride == (1, 1) or self.in_channels >= FEWEST:
            return super().forward(input)
        rows, columns = self.stride
        selected = input[:, :, ::rows, ::columns]
        return conv2d(selected, self.weight, self.bias, dilation=self.dilation, groups=self.groups)


class Convolution(SafeConv2d):
    """A convolution with square kernels.

    `same` pads as TensorFlow does, which the papers used: the output has ceil(side / stride) positions, and where the
    zeros cannot be split evenly, the extra one goes to the bottom and to the right. `even` puts half a kernel of
    zeros on every side; with odd kernels it gives as many positions as `same`, and it needs no Pad node in an
    exported graph.

    Args:
        in_channels: Input channels.
        out_channels: Output channels.
        kernel: Side of a kernel, in pixels.
        side: Height and width of the input, in pixels.
        stride: In pixels.
        padding: `valid`, `same` or `even`.
        bias: Whether each output channel has a bias.
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
        bias: bool = True,
    ) -> None:
        height, width = (_zeros(pixels, kernel, stride, padding) for pixels in side)
        even = height[0] == height[1] and width[0] == width[1]
        super().__init__(in_channels, out_channels, kernel, stride, (height[0], width[0]) if even else 0, bias=bias)
        self.margins = (0, 0, 0, 0) if even else (*width, *height)  # left, right, top, bottom

    def forward(
        self, input: Float[Tensor, "batch in_channels height width"]
    ) -> Float[Tensor, "batch out_channels rows columns"]:
        """Feature maps."""
        return super().forward(pad(input, self.margins) if any(self.margins) else input)


def positions(side: tuple[int, int], kernel: int, *, stride: int = 1, padding: Padding = "valid") -> tuple[int, int]:
    """Rows and columns of a convolution's output; less than 1 where the kernel does not fit.

    Args:
        side: Height and width of the input, in pixels.
        kernel: Side of a kernel, in pixels.
        stride: In pixels.
        padding: `valid`, `same` or `even`.
    """
    rows, columns = (
        (pixels + sum(_zeros(pixels, kernel, stride, padding)) - kernel) // stride + 1 for pixels in side
    )
    return rows, columns


def _zeros(side: int, kernel: int, stride: int, padding: Padding) -> tuple[int, int]:
    """Zeros before and after one side of an image."""
    if padding == "valid":
        return 0, 0
    if padding == "even":
        return kernel // 2, kernel // 2
    total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
