"""What a network's wiring says, against the networks themselves and the paper's sizes."""

import pytest
import torch
from torch import Tensor, nn

from capsedge.compress.wiring import TYPES, wiring_of
from capsedge.errors import WrongUse
from capsedge.export.fold import folded
from capsedge.models import CapsNet, build_network
from capsedge.recipe import load_recipe
from tests.compress.networks import SHAPE, STEMS, images, network_of, recipe_with


def products_by_hand(network: CapsNet) -> int:
    """Of every convolution of the folded network, as one image passes, and of every routing layer."""
    total = sum(layer.weight.numel() for layer in network.routing_layers)

    def count(conv: nn.Conv2d, given: object, output: Tensor) -> None:
        nonlocal total
        total += output[0].numel() * conv.weight[0].numel()

    static = folded(network)
    for module in static.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.no_grad():
        static(images(1))
    return total


def parameters_by_hand(network: CapsNet) -> int:
    convolutions = [module for module in folded(network).modules() if isinstance(module, nn.Conv2d)]
    return sum(each.weight.numel() for each in (*convolutions, *network.routing_layers))


def test_table_1_costs_what_its_sizes_say() -> None:
    network = build_network(load_recipe("fashion-mnist-l2"), classes=10, shape=(28, 28, 1))
    wiring = wiring_of(network, (28, 28, 1))
    first, second, routing = 81 * 256, 81 * 256 * 256, 1152 * 8 * 160  # 20x20 and 6x6 positions
    assert wiring.macs(wiring.sizes) == first * 400 + second * 36 + routing
    assert wiring.parameters(wiring.sizes) == first + second + routing
    assert wiring.work(wiring.sizes) == first * 400 + second * 36 + 10 * routing


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("hidden", ["network.hidden=[]", "network.hidden=[[4, 6]]"])
def test_the_cost_is_that_of_the_collapsed_network(stem: str, hidden: str) -> None:
    network = network_of(recipe_with(stem, hidden))
    wiring = wiring_of(network, SHAPE)
    assert wiring.macs(wiring.sizes) == products_by_hand(network)
    assert wiring.parameters(wiring.sizes) == parameters_by_hand(network)


@pytest.mark.parametrize(
    ("stem", "widths", "follows", "unequal"),
    [
        ("table1", {"stem": 6}, {}, ()),
        ("plain", {"stem.0": 6, "stem.1": 6, "stem.2": 7, "stem.3": 9}, {}, ()),
        ("separable", {"stem.0": 6, "stem.2": 7, "stem.3": 9}, {}, (("stem.0", "stem.2"),)),
        ("repvgg", {"stem.0": 6, "stem.2": 7, "stem.3": 9}, {}, (("stem.0", "stem.2"),)),
        (
            "residual",
            {"stem.0": 6, "stem.1.inside": 6, "stem.2.inside": 7, "stem.2": 7, "stem.3.inside": 9, "stem.3": 9},
            {"stem.1.inside": "stem.0", "stem.2.inside": "stem.2", "stem.3.inside": "stem.3"},
            (("stem.0", "stem.2"),),
        ),
    ],
)
def test_what_is_added_has_one_width(
    stem: str, widths: dict[str, int], follows: dict[str, str], unequal: tuple[tuple[str, str], ...]
) -> None:
    wiring = wiring_of(network_of(recipe_with(stem)), SHAPE)
    assert wiring.sizes == {**widths, TYPES: 4}
    assert wiring.follows == follows
    assert wiring.unequal == unequal


def test_looking_at_a_network_leaves_it_as_it_was() -> None:
    network = network_of(recipe_with("residual")).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    wiring_of(network, SHAPE)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


@pytest.mark.parametrize("kind", ["dynamic", "kl", "em"])
def test_routing_that_is_found_for_each_image_is_refused(kind: str) -> None:
    recipe = recipe_with("table1", "network.primary_dim=16", "network.class_dim=16", kind=kind)
    network = build_network(recipe, classes=3, shape=SHAPE)
    with pytest.raises(WrongUse, match=r"computes them for each image: train with routing\.kind l2, l1, frozen"):
        wiring_of(network, SHAPE)
