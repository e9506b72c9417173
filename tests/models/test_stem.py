"""Stems against their definitions, computed a second time in float64, and against published counts."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from capsedge.errors import WrongUse
from capsedge.models import CapsNet, build_network
from capsedge.models.stem import BatchNorm, blocks_of, build_stem
from capsedge.recipe import NetworkRecipe, load_recipe

BLOCKS = "network.blocks=[[6, 2], [6, 1], [10, 2]]"
SMALL = (BLOCKS, "network.primary_kernel=3", "network.capsule_types=2", "network.primary_dim=4")


def network_with(stem: str, *overrides: str, shape: tuple[int, int, int] = (28, 28, 1)) -> CapsNet:
    recipe = load_recipe("fashion-mnist-l2-small", [f"network.stem={stem}", *SMALL, *overrides])
    return build_network(recipe, classes=10, shape=shape)


def shaken(module: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics and gains that are not those of the start."""
    for norm in module.modules():
        if isinstance(norm, BatchNorm):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 2.0)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return module.eval()


def step(module: Tensor | nn.Module, index: int, x: Tensor, *, stride: int = 1) -> Tensor:
    """The convolution at an index and the normalization behind it, in float64."""
    assert isinstance(module, nn.Sequential)
    conv = module[index]
    assert isinstance(conv, nn.Conv2d)
    y = conv2d(x, conv.weight.double(), stride=stride, padding=conv.kernel_size[0] // 2, groups=conv.groups)
    return normalized(module[index + 1], y)


def normalized(norm: Tensor | nn.Module, x: Tensor) -> Tensor:
    assert isinstance(norm, BatchNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return batch_norm(
        x, norm.running_mean.double(), norm.running_var.double(), norm.weight.double(), norm.bias.double()
    )


def by_hand(kind: str, stem: nn.Sequential, x: Tensor) -> Tensor:
    x = step(stem[0], 0, x, stride=2).relu()
    for block, stride in zip(list(stem)[1:], (1, 2), strict=True):
        if kind == "plain":
            x = step(block, 0, x, stride=stride).relu()
            continue
        if kind == "repvgg":
            total = step(block.spatial, 0, x, stride=stride) + step(block.pointwise, 0, x, stride=stride)
            x = (total + normalized(block.identity, x) if stride == 1 else total).relu()
            continue
        y = step(block.layers, 3, step(block.layers, 0, x, stride=stride).relu())
        if kind == "residual":
            around = step(block.around, 0, x, stride=stride) if stride > 1 else x
            x = (y + around).relu()
        else:
            x = (y + x if stride == 1 else y).relu()
    return x


@pytest.mark.parametrize("kind", ["plain", "separable", "residual", "repvgg"])
def test_a_stem_computes_its_blocks(kind: str) -> None:
    recipe = NetworkRecipe(stem=kind, blocks=((6, 2), (6, 1), (10, 2)))  # type: ignore[arg-type]
    stem, channels = build_stem(recipe, channels=3, side=(13, 20))
    shaken(stem)
    images = torch.rand(2, 3, 13, 20)
    assert channels == 10
    assert isinstance(stem, nn.Sequential)
    expected = by_hand(kind, stem, images.double())
    assert expected.shape == (2, 10, 4, 5)
    torch.testing.assert_close(stem(images).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_separable_block_has_mobilenets_number_of_weights() -> None:
    # Howard et al. 2017, section 3.1: Dk x Dk x M + M x N, here with 2 numbers a channel for each normalization.
    recipe = NetworkRecipe(stem="separable", blocks=((32, 1), (64, 2)))
    stem, _ = build_stem(recipe, channels=1, side=(28, 28))
    assert isinstance(stem, nn.Sequential)
    assert sum(each.numel() for each in stem[1].parameters()) == 9 * 32 + 32 * 64 + 2 * 32 + 2 * 64


@pytest.mark.parametrize("stem", ["plain", "separable", "residual", "repvgg"])
def test_the_gradient_of_the_lengths_reaches_every_weight_of_a_stem(stem: str) -> None:
    network = network_with(stem)
    assert sum(each.numel() for each in network.stem.parameters()) > 0
    lengths = network(torch.rand(3, 1, 28, 28)).lengths
    lengths.sum().backward()
    assert lengths.shape == (3, 10)
    assert all(each.grad is not None and each.grad.isfinite().all() for each in network.stem.parameters())


def test_large_images_get_blocks_that_halve_them_until_they_fit_the_grid() -> None:
    recipe = NetworkRecipe(stem="residual", blocks=((8, 2), (16, 2)), grid=7)
    assert blocks_of(recipe, (28, 28)) == [(8, 2), (16, 2)]
    assert blocks_of(recipe, (224, 150)) == [(8, 2), (16, 2), (16, 2), (16, 2), (16, 2)]  # 224 / 4 = 56, 28, 14, 7


def test_images_that_the_strides_leave_less_than_a_pixel_of_are_refused() -> None:
    recipe = load_recipe("mnist-l2-edge-nano")  # three blocks halve
    with pytest.raises(
        WrongUse, match=r"at least 8x8 pixels, and these have 7x6: set network\.blocks or data\.size$"
    ):
        build_network(recipe, classes=10, shape=(6, 7, 1))
    for shape in ((8, 8, 1), (5, 40, 1)):
        network = build_network(recipe, classes=10, shape=shape).eval()
        assert network(torch.rand(1, 1, *shape[:2])).lengths.shape == (1, 10)


def test_a_stem_of_blocks_without_blocks_is_refused() -> None:
    with pytest.raises(WrongUse, match=r"stem plain is made of blocks: set network\.blocks, such as \[\[16, 2\]"):
        load_recipe("fashion-mnist-l2", ["network.stem=plain"])


def test_blocks_beside_table_1_are_refused() -> None:
    with pytest.raises(WrongUse, match=r"network\.blocks and network.grid are for stems other than table1"):
        load_recipe("fashion-mnist-l2", [BLOCKS])


def test_dropout_leaves_out_whole_channels_in_training_alone() -> None:
    network = network_with("plain", "network.dropout=0.5")
    seen: list[Tensor] = []
    network.dropout.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    images = torch.rand(64, 1, 28, 28)
    network(images)
    network.eval()(images)
    trained, evaluated = ((each == 0).all(3).all(2).float().mean().item() for each in seen)
    assert math.isclose(trained - evaluated, 0.5, abs_tol=0.15)
    assert torch.equal(network(images).lengths, network(images).lengths)
