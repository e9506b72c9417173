"""Padding against the definition of TensorFlow's SAME, window by window in float64."""

import math

import pytest
import torch
from torch import Tensor

from capsedge.models.convolution import Convolution, positions


def slow(layer: Convolution, image: Tensor, stride: int) -> Tensor:
    """SAME: ceil(side / stride) windows; the window of position p starts at p * stride - floor(zeros / 2)."""
    kernel = layer.kernel_size[0]
    sides = image.shape[1:]
    counts = [math.ceil(side / stride) for side in sides]
    starts = [-(max((count - 1) * stride + kernel - side, 0) // 2) for count, side in zip(counts, sides, strict=True)]
    assert layer.bias is not None
    out = torch.zeros(layer.out_channels, *counts, dtype=torch.float64)
    for row in range(counts[0]):
        for column in range(counts[1]):
            for y in range(kernel):
                for x in range(kernel):
                    top, left = row * stride + starts[0] + y, column * stride + starts[1] + x
                    if 0 <= top < sides[0] and 0 <= left < sides[1]:
                        out[:, row, column] += layer.weight.double()[:, :, y, x] @ image[:, top, left]
    return out + layer.bias.double()[:, None, None]


@pytest.mark.parametrize("side", [(24, 24), (7, 10), (5, 8)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 4, 5])
def test_same_padding_is_tensorflows(side: tuple[int, int], stride: int, kernel: int) -> None:
    torch.manual_seed(0)
    layer = Convolution(2, 3, kernel, side=side, stride=stride, padding="same").double()
    image = torch.randn(2, *side, dtype=torch.float64)
    with torch.no_grad():
        found, expected = layer(image[None])[0], slow(layer, image, stride)
    assert positions(side, kernel, stride=stride, padding="same") == tuple(found.shape[1:])
    torch.testing.assert_close(found, expected)


def test_valid_padding_takes_whole_windows_only() -> None:
    layer = Convolution(1, 3, 4, side=(9, 7), stride=2)
    assert layer(torch.zeros(1, 1, 9, 7)).shape == (1, 3, 3, 2)
    assert positions((9, 7), 4, stride=2) == (3, 2)
    assert positions((9, 7), 8) == (2, 0)
