"""The routing step through whole networks: proximal zeros, hidden layers, and what it must leave alone."""

import pytest
import torch
from torch import Tensor

from capsedge.models import CapsNet, build_network, squash
from capsedge.models.routing import StaticRouting
from capsedge.recipe import Recipe
from capsedge.training.routing_step import RoutingStep, coefficient_statistics, routing_step
from tests.tiny import tiny_recipe

SHAPE = (17, 17, 1)  # one position: two primary capsules
DEEP = "network.hidden=[[5, 3], [4, 6]]"


def network_of(recipe: Recipe) -> CapsNet:
    torch.manual_seed(1)
    network = build_network(recipe, classes=3, shape=SHAPE).double()
    for layer in static_layers(network):
        layer.weight.data.normal_()
        layer.b.normal_()
    return network


def static_layers(network: CapsNet) -> list[StaticRouting]:
    layers = [layer for layer in network.routing_layers if isinstance(layer, StaticRouting)]
    assert len(layers) == len(network.routing_layers)
    return layers


def batch(classes: int = 3) -> tuple[Tensor, Tensor]:
    u = squash(torch.randn(7, 2, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)))
    return u, torch.eye(classes, dtype=torch.float64)[[0, 2, 1, 1, 0, 2, 2]]


def slow_objective(network: CapsNet, u: Tensor, targets: Tensor, recipe: Recipe) -> float:
    """Eq 10 or 14 of the class capsules, votes and sums written out, through every layer."""
    layers = static_layers(network)
    for layer in layers:
        v = torch.einsum("bid,idjk,ij->bjk", u, layer.weight, layer.b)
        norm = v.square().sum(2, keepdim=True).sqrt()
        u = norm**2 / (1 + norm**2) * v / norm  # eq 3
    shown = v if recipe.routing.objective == "raw" else u
    value = ((2 * targets - 1) * shown.square().sum(2)).sum().item() / len(u)
    for layer in layers:
        size = layer.b.abs() if recipe.routing.kind == "l1" else layer.b.square()
        value -= recipe.routing.penalty * size.sum().item()
    return value


@pytest.mark.parametrize("on", ["raw", "squashed"])
@pytest.mark.parametrize("kind", ["l2", "l1"])
def test_hidden_coefficients_ascend_the_objective_by_the_chain_rule(kind: str, on: str) -> None:
    recipe = tiny_recipe(
        DEEP, f"routing.kind={kind}", f"routing.objective={on}", "routing.step=ascent", "routing.learning_rate=1.0",
        "routing.penalty=0.05",
    )  # fmt: skip
    network = network_of(recipe)
    u, targets = batch()
    layers = static_layers(network)
    assert [tuple(layer.b.shape) for layer in layers] == [(2, 5), (5, 4), (4, 3)]

    expected, step = [], 1e-6
    for layer in layers:
        slopes = torch.empty_like(layer.b)
        for place in range(layer.b.numel()):
            flat = layer.b.view(-1)
            value = flat[place].item()
            flat[place] = value + step
            ahead = slow_objective(network, u, targets, recipe)
            flat[place] = value - step
            slopes.view(-1)[place] = (ahead - slow_objective(network, u, targets, recipe)) / (2 * step)
            flat[place] = value
        expected.append(layer.b + slopes)  # a plain step of length 1
    with torch.no_grad():
        RoutingStep(network, recipe.routing)(u, targets, total=len(u), factor=1.0)
    for layer, wanted in zip(layers, expected, strict=True):
        torch.testing.assert_close(layer.b, wanted, rtol=1e-6, atol=1e-7)


def test_the_proximal_step_solves_its_problem_and_makes_exact_zeros() -> None:
    options = ("routing.kind=l1", "routing.step=ascent", "routing.learning_rate=0.1", "routing.penalty=2.0")
    recipe = tiny_recipe(*options, "routing.proximal=true")
    network = network_of(recipe)
    u, targets = batch()
    layer = network.routing
    assert isinstance(layer, StaticRouting)
    (slope,) = RoutingStep(network, recipe.routing).gradients(u, targets, len(u))
    reached = layer.b + 0.05 * slope  # half of the rate, as the factor says
    with torch.no_grad():
        RoutingStep(network, recipe.routing)(u, targets, total=len(u), factor=0.5)
    # argmin_z of width |z| + (z - reached)^2 / 2, by a fine grid
    grid = torch.linspace(-6, 6, 240_001, dtype=torch.float64)
    for z, x in zip(layer.b.flatten(), reached.flatten(), strict=True):
        best = grid[(0.05 * 2.0 * grid.abs() + (grid - x) ** 2 / 2).argmin()]
        assert z.item() == pytest.approx(best.item(), abs=1e-4)
    assert (layer.b == 0).any()
    assert (layer.b != 0).any()


def test_the_step_leaves_the_weights_and_their_gradients_alone() -> None:
    recipe = tiny_recipe(DEEP)
    network = network_of(recipe)
    before = {name: each.clone() for name, each in network.named_parameters()}
    u, targets = batch()
    with torch.no_grad():
        RoutingStep(network, recipe.routing)(u, targets, total=len(u), factor=1.0)
    for name, each in network.named_parameters():
        assert torch.equal(each, before[name]), name
        assert each.grad is None, name
    assert not any(layer.b.requires_grad for layer in static_layers(network))


@pytest.mark.parametrize("kind", ["frozen", "backprop", "dynamic"])
def test_kinds_without_an_objective_have_no_routing_step(kind: str) -> None:
    recipe = tiny_recipe(base=f"fashion-mnist-{kind}-small")
    assert routing_step(build_network(recipe, classes=3, shape=SHAPE), recipe.routing) is None


def test_statistics_are_over_the_coefficients_of_all_layers() -> None:
    network = network_of(tiny_recipe(DEEP))
    every = []
    for number, layer in enumerate(static_layers(network)):
        layer.b.fill_(-float(number))
        every += [-float(number)] * layer.b.numel()
    found = coefficient_statistics(network)
    assert found is not None
    assert found["mean"] == pytest.approx(sum(every) / len(every))
    assert found["zero"] == pytest.approx(10 / 42)
    assert found["negative"] == pytest.approx(32 / 42)
    assert found["largest"] == 2.0
