"""Small random networks of every stem, with statistics, gains and coefficients that are not those of the start."""

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from capsedge.models import CapsNet, build_network
from capsedge.models.routing import StaticRouting
from capsedge.models.stem import BatchNorm, Table1
from capsedge.recipe import Recipe, load_recipe

SHAPE = (14, 14, 1)
CLASSES = 3

BLOCKS = "network.blocks=[[6, 2], [6, 1], [7, 1], [9, 2]]"  # one block that may add, one of another width, one halves
STEMS = {
    "table1": ("network.filters=6", "network.kernel=5"),
    "plain": (BLOCKS, "network.primary_kernel=3"),
    "separable": (BLOCKS, "network.primary_kernel=3"),
    "residual": (BLOCKS, "network.primary_kernel=3"),
    "repvgg": (BLOCKS, "network.primary_kernel=3"),
}


def recipe_with(stem: str, *overrides: str, kind: str = "l2") -> Recipe:
    sizes = ("network.capsule_types=4", "network.primary_dim=3", "network.class_dim=5")
    return load_recipe(f"fashion-mnist-{kind}-small", [f"network.stem={stem}", *STEMS[stem], *sizes, *overrides])


def network_of(recipe: Recipe, *, seed: int = 0) -> CapsNet:
    """In evaluation mode."""
    torch.manual_seed(seed)
    network = build_network(recipe, classes=CLASSES, shape=SHAPE)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, BatchNorm):
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, 0.4, 0.8)  # so large that no channel is always zero
            if isinstance(module, Table1):
                nn.init.uniform_(module.conv.get_parameter("bias"), 0.4, 0.8)
            if isinstance(module, StaticRouting):
                module.weight.mul_(5)
                module.b.copy_(torch.randn(module.b.shape))
    return network.eval()


def images(count: int = 6, *, seed: int = 1) -> Tensor:
    return torch.rand(count, SHAPE[2], *SHAPE[:2], generator=torch.Generator().manual_seed(seed))


def silenced(module: nn.Module, dropped: Tensor) -> RemovableHandle:
    """Let a module give zeros in some channels."""

    def zero(module: nn.Module, given: object, output: Tensor) -> Tensor:
        return output.index_fill(1, dropped, 0.0)

    return module.register_forward_hook(zero)
