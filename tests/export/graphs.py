"""Graphs of untrained networks, which are enough to tell types and ranges by."""

from functools import cache

import onnx
import torch

from capsedge.export.collapse import deployable
from capsedge.export.onnx import to_onnx
from capsedge.models import CapsNet, build_network
from tests.tiny import tiny_recipe

SHAPE = (28, 28, 1)


def random_network(kind: str = "l2", *overrides: str) -> CapsNet:
    """A network whose capsules are neither all short nor all long."""
    torch.manual_seed(3)
    recipe = tiny_recipe("network.decoder=[]", *overrides, base=f"fashion-mnist-{kind}-small")
    network = build_network(recipe, classes=10, shape=SHAPE).eval()
    with torch.no_grad():
        network.primary.conv.weight *= 4
    return network


def graph_of(network: CapsNet) -> onnx.ModelProto:
    """Its fp32 graph."""
    return to_onnx(deployable(network), SHAPE)


@cache
def graph_of_kind(kind: str) -> onnx.ModelProto:
    """The fp32 graph of a network with a kind of routing; nobody may change it."""
    return graph_of(random_network(kind))
