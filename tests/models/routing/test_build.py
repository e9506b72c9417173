"""The initial scales of routing layers by kind and depth."""

import pytest
import torch

from capsedge.models.routing import routing_layer
from capsedge.recipe import RoutingRecipe


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
