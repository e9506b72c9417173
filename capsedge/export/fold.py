"""Folding batch normalization and parallel branches into one convolution, so that inference does not pay for them.

With the running mean m and variance s^2, gain g and shift h, g (w * x - m) / sqrt(s^2 + eps) + h is a convolution
again, with weights w g / sqrt(s^2 + eps) and bias h - m g / sqrt(s^2 + eps) (Ioffe and Szegedy 2015, section 3.1).
Branches that are added become one convolution, the sum of their kernels: a 1x1 kernel is zero-padded to the block's
size, and the identity branch is a kernel with 1 at its centre (Ding et al. 2021, section 3.3). The computation is in
float64 and rounds once, to float32.
"""

from copy import deepcopy
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from capsedge.models import CapsNet
from capsedge.models.primary import PrimaryCapsules
from capsedge.models.stem import KERNEL, BatchNorm, RepVGG


def folded(network: CapsNet) -> CapsNet:
    """A copy of the network in evaluation mode without batch normalization."""
    result = deepcopy(network).eval()
    for module in list(result.modules()):
        if isinstance(module, nn.Sequential):
            _fold_children(module)
    primary = result.primary
    if isinstance(primary.norm, BatchNorm):
        assert isinstance(primary, PrimaryCapsules)
        primary.conv = _folded(primary.conv, primary.norm)
        primary.norm = None
    return result


def _fold_children(layers: nn.Sequential) -> None:
    originals: list[nn.Module | None] = [*layers, None]
    for index, (layer, following) in enumerate(pairwise(originals)):
        if isinstance(layer, nn.Conv2d) and isinstance(following, BatchNorm):
            layers[index], layers[index + 1] = _folded(layer, following), nn.Identity()
        elif isinstance(layer, RepVGG):
            layers[index] = nn.Sequential(_merged(layer), nn.ReLU(inplace=True))


@torch.no_grad()
def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution equal to a convolution followed by its normalization."""
    factor, constant = _scale(norm)
    bias: Tensor | float = 0.0 if conv.bias is None else conv.bias.double()
    return _with(conv, conv.weight.double() * factor[:, None, None, None], bias * factor + constant)


@torch.no_grad()
def _merged(block: RepVGG) -> nn.Conv2d:
    """One convolution equal to the sum of a block's branches."""
    kernels, biases = [], []
    for conv, norm in (block.spatial, block.pointwise):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, BatchNorm)
        factor, constant = _scale(norm)
        kernels.append(_centred(conv.weight.double() * factor[:, None, None, None]))
        biases.append(constant)
    if block.identity is not None:
        factor, constant = _scale(block.identity)
        kernels.append(_centred(torch.diag(factor)[:, :, None, None]))
        biases.append(constant)
    spatial = block.spatial[0]
    assert isinstance(spatial, nn.Conv2d)
    return _with(spatial, torch.stack(kernels).sum(0), torch.stack(biases).sum(0))


def _scale(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Factor and offset of a normalization for each channel."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance, gain, shift = (
        each.double() for each in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    factor = gain / torch.sqrt(variance + norm.eps)
    return factor, shift - mean * factor


def _centred(kernel: Tensor) -> Tensor:
    """A 1x1 kernel, zero-padded to the size of the block's kernel."""
    margin = (KERNEL - kernel.shape[-1]) // 2
    return pad(kernel, (margin, margin, margin, margin))


def _with(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    result = deepcopy(conv)
    result.weight, result.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
    return result
