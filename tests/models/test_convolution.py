"""Padding against the definition of TensorFlow's SAME, window by window in float64."""

import math
import os
import subprocess
import sys
from ctypes.util import find_library

import pytest
import torch
from torch import Tensor

from capsedge.models.convolution import Convolution, SafeConv2d, positions


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


@pytest.mark.parametrize(("kernel", "channels"), [(1, 4), (1, 8), (3, 4)])
def test_a_strided_convolution_of_few_channels_gives_pytorchs_values_and_slopes(kernel: int, channels: int) -> None:
    torch.manual_seed(0)
    safe = SafeConv2d(channels, 6, kernel, (2, 3), kernel // 2).double()
    plain = torch.nn.Conv2d(channels, 6, kernel, (2, 3), kernel // 2).double()
    plain.load_state_dict(safe.state_dict())
    image = torch.rand(3, channels, 9, 10, dtype=torch.float64)
    other, weights = image.clone().requires_grad_(), torch.rand(3, 6, 5, 4, dtype=torch.float64)
    image.requires_grad_()

    (safe(image) * weights).sum().backward()
    (plain(other) * weights).sum().backward()

    torch.testing.assert_close(safe(image), plain(other))
    torch.testing.assert_close(image.grad, other.grad)
    assert safe.weight.grad is not None
    torch.testing.assert_close(safe.weight.grad, plain.weight.grad)


def test_the_gradient_of_a_strided_convolution_of_single_pixels_stays_in_its_memory() -> None:
    """With glibc's checks of what is written around each block, and the kernels of a processor with AVX2."""
    checker = find_library("c_malloc_debug")
    if checker is None:
        pytest.skip("needs glibc's libc_malloc_debug")
    script = (
        "import torch; from capsedge.models.convolution import SafeConv2d\n"
        "conv = SafeConv2d(4, 6, 1, 2)\n"
        "for _ in range(60):\n"
        "    image = torch.rand(64, 14, 14, 4).permute(0, 3, 1, 2).requires_grad_()\n"
        "    conv(image).square().sum().backward()\n"
    )
    checks = {"ONEDNN_MAX_CPU_ISA": "AVX2", "LD_PRELOAD": checker, "MALLOC_CHECK_": "3", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run([sys.executable, "-c", script], env=os.environ | checks, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
