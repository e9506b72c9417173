"""Batch normalization, and branches, folded into one convolution: at the edge they cost nothing.

With the running mean m and variance s^2, gain g and shift h, g (w * x - m) / sqrt(s^2 + eps) + h is a convolution
again, with weights w g / sqrt(s^2 + eps) and bias h - m g / sqrt(s^2 + eps) (Ioffe and Szegedy 2015, section 3.1).
Branches that are added are the sum of their convolutions, in which one of single pixels is a kernel that is zero but
in its middle, and the image itself one that is 1 there (Ding et al. 2021, section 3.3). It is computed in float64, so
what it costs is one rounding.
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
    """The same network in evaluation mode without batch normalization; what was given stays as it was."""
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
    given: list[nn.Module | None] = [*layers, None]
    for index, (layer, behind) in enumerate(pairwise(given)):
        if isinstance(layer, nn.Conv2d) and isinstance(behind, BatchNorm):
            layers[index], layers[index + 1] = _folded(layer, behind), nn.Identity()
        elif isinstance(layer, RepVGG):
            layers[index] = nn.Sequential(_merged(layer), nn.ReLU(inplace=True))


@torch.no_grad()
def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that does what a convolution and the normalization behind it do."""
    factor, constant = _scale(norm)
    bias: Tensor | float = 0.0 if conv.bias is None else conv.bias.double()
    return _with(conv, conv.weight.double() * factor[:, None, None, None], bias * factor + constant)


@torch.no_grad()
def _merged(block: RepVGG) -> nn.Conv2d:
    """The one convolution that a block's branches add up to."""
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
    """What a normalization multiplies each channel by, and what it adds."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, variance, gain, shift = (
        each.double() for each in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    factor = gain / torch.sqrt(variance + norm.eps)
    return factor, shift - mean * factor


def _centred(kernel: Tensor) -> Tensor:
    """A kernel of single pixels as one of the blocks' size, zero but in its middle."""
    margin = (KERNEL - kernel.shape[-1]) // 2
    return pad(kernel, (margin, margin, margin, margin))


def _with(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    result = deepcopy(conv)
    result.weight, result.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
    return result
