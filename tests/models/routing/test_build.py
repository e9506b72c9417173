"""The initial scales of routing layers by kind and depth."""

from typing import Any

import pytest
import torch

from capsedge.models import build_network
from capsedge.models.routing import StaticRouting, routing_layer, with_b0
from capsedge.recipe import RoutingRecipe, load_recipe


@pytest.mark.parametrize(
    ("kind", "factor"),
    [
        ("l2", 5),
        ("l1", 5),
        ("frozen", 5),
        ("backprop", 5),
        ("dynamic", 5 * 10),  # its uniform coefficients of 1 / 10 are in the weights
        ("kl", 1),  # whose output does not depend on the scale
        ("em", 1),
    ],
)
def test_the_weights_of_a_deeper_layer_are_larger_where_its_input_is_short(kind: str, factor: float) -> None:
    torch.manual_seed(0)
    recipe = RoutingRecipe(kind=kind, sigma=0.03)  # type: ignore[arg-type]
    for depth, scale in ((0, 1), (1, factor), (2, factor)):
        layer = routing_layer(recipe, below=(300, 16), above=(10, 16), depth=depth)
        assert layer.weight.std().item() == pytest.approx(0.03 * scale, rel=0.03)


@pytest.mark.parametrize(
    ("capsules", "change", "b0", "rate"),
    [
        (300, {}, 1.0, 2e-4),
        (1152, {}, 0.1, 2e-5),  # Table I on images of 28x28
        (3200, {}, 0.036, 7.2e-6),  # and of 36x36
        (1152, {"step": "ascent"}, 0.1, 2e-4),  # whose gradient has W's scale already
        (1152, {"b0": 1.0}, 1.0, 2e-4),
        (1152, {"kind": "backprop"}, 0.1, 2e-4),  # it has no routing step
        (1152, {"kind": "dynamic"}, 0.0, 2e-4),  # nor such coefficients
    ],
)
def test_an_open_b0_falls_with_the_number_of_primary_capsules_and_adams_rate_with_it(
    capsules: int, change: dict[str, Any], b0: float, rate: float
) -> None:
    found = with_b0(RoutingRecipe(**change), capsules)

    assert found.b0 == b0
    assert found.learning_rate == pytest.approx(rate, rel=1e-3)


def test_a_network_has_the_b0_of_its_number_of_capsules_in_every_layer() -> None:
    recipe = load_recipe("fashion-mnist-l2", ["network.hidden=[[4, 8]]", "network.filters=4", "network.decoder=[]"])
    layers = build_network(recipe, classes=10, shape=(28, 28, 1)).routing_layers

    for layer in layers:
        assert isinstance(layer, StaticRouting)
        assert torch.equal(layer.b, torch.full_like(layer.b, 0.1))
