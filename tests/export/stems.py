"""Small networks of every stem, with batch normalization that is far from doing nothing."""

import torch

from capsedge.models import CapsNet, build_network
from capsedge.models.stem import BatchNorm
from capsedge.recipe import load_recipe
from tests.export.graphs import SHAPE

BLOCKS = ("network.blocks=[[8, 2], [8, 1], [12, 2]]", "network.primary_kernel=1", "network.primary_stride=1")
STEMS: dict[str, tuple[str, ...]] = {
    "table1": ("network.filters=8",),
    **{kind: (f"network.stem={kind}", *BLOCKS) for kind in ("plain", "separable", "residual", "repvgg")},
}
WIDTHS = ("network.capsule_types=2", "network.primary_dim=4", "network.class_dim=4", "network.decoder=[]")


def stem_network(stem: str, routing: str = "l2", *overrides: str) -> CapsNet:
    """An untrained network in evaluation mode whose normalizations have statistics, gains and shifts of their own."""
    torch.manual_seed(5)
    recipe = load_recipe(f"fashion-mnist-{routing}-small", [*STEMS[stem], *WIDTHS, *overrides])
    network = build_network(recipe, classes=10, shape=SHAPE)
    for norm in network.modules():
        if isinstance(norm, BatchNorm):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            torch.nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(norm.running_var, 0.05, 0.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
            norm.weight.data[0] *= -1
    if network.primary.norm is None:
        network.primary.conv.weight.data *= 8  # capsules that are neither all short nor all long
    return network.eval()
