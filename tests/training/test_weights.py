"""The weights' optimizer against Adam and against decay by hand; the moving average against its equation."""

from collections.abc import Iterator

import pytest
import torch

from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, TrainRecipe
from capsedge.training.weights import Average, weights_optimizer
from tests.tiny import tiny_recipe
from tests.training.residual import residual_recipe

SHAPE = (17, 17, 1)


def network_of(recipe: Recipe) -> CapsNet:
    torch.manual_seed(0)
    return build_network(recipe, classes=3, shape=SHAPE)


def gradients(network: CapsNet, steps: int) -> Iterator[None]:
    """Set random gradients, some of them large and some tiny, as often as there are steps."""
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        for each in network.parameters():
            each.grad = torch.randn(each.shape, generator=generator) * 10.0 ** (step % 5 - 3)
        yield


def test_without_decay_every_step_is_adams_to_the_bit() -> None:
    one, other = (network_of(tiny_recipe("network.decoder=[16]")) for _ in range(2))
    ours = weights_optimizer(one, TrainRecipe(learning_rate=2e-3))
    adam = torch.optim.Adam(other.parameters(), lr=2e-3)
    for _ in zip(gradients(one, 20), gradients(other, 20), strict=True):
        ours.step()
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    first, second = ours.state_dict()["state"], adam.state_dict()["state"]
    assert list(first) == list(second), "a checkpoint numbers the moments alike"
    assert all(torch.equal(first[index][key], second[index][key]) for index in first for key in first[index])


@pytest.mark.parametrize(
    ("recipe", "keep"),
    [
        (tiny_recipe("network.decoder=[16]"), set()),
        (residual_recipe(), set()),
        (tiny_recipe("network.hidden=[[5, 3]]", base="fashion-mnist-backprop-small"), {"routing.b", "hidden.0.b"}),
        (tiny_recipe(base="fashion-mnist-em-small"), set()),
    ],
    ids=["with a decoder", "with normalization", "with coefficients", "with EM's beta"],
)
def test_kernels_and_matrices_decay_and_nothing_else(recipe: Recipe, keep: set[str]) -> None:
    """With gradients of zero Adam stands still, so what is left is the decay: rate * weight_decay of a weight."""
    network = network_of(recipe)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    assert keep <= before.keys()
    optimizer = weights_optimizer(network, TrainRecipe(learning_rate=0.1, weight_decay=0.5))
    for each in network.parameters():
        each.grad = torch.zeros_like(each)
    optimizer.step()
    names = {name for name, _ in network.named_parameters()}
    for name, each in network.state_dict().items():
        decays = name in names and each.ndim > 1 and name not in keep
        left = 1 - 0.1 * 0.5 if decays else 1
        torch.testing.assert_close(each, before[name] * left, rtol=1e-6, atol=0)


def moved(network: CapsNet, generator: torch.Generator) -> None:
    """Change everything that a network has: weights, b, running statistics and counts."""
    for each in network.state_dict().values():
        if each.is_floating_point():
            each.add_(torch.randn(each.shape, generator=generator))
        else:
            each.add_(1)


@pytest.mark.parametrize("decay", [0.9, 0.999])
def test_the_average_is_that_of_its_equation(decay: float) -> None:
    network = network_of(residual_recipe())
    expected = {name: each.double() for name, each in network.state_dict().items()}
    average = Average(network, decay)
    generator = torch.Generator().manual_seed(2)
    for step in range(150):
        with torch.no_grad():
            moved(network, generator)
        average.update(network, step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, each in network.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * each.double()
    found = average.network.state_dict()
    counts = [name for name in found if name.endswith("num_batches_tracked")]
    assert {"routing.b", "primary.norm.running_mean", "stem.0.1.running_var"} <= found.keys()
    assert {int(found[name]) for name in counts} == {150}
    for name in found.keys() - counts:
        torch.testing.assert_close(found[name].double(), expected[name], rtol=1e-5, atol=1e-5)


def test_the_average_moves_nothing_of_the_network_and_shares_nothing_with_it() -> None:
    network = network_of(residual_recipe())
    average = Average(network, 0.9)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    with torch.no_grad():
        for each in average.network.state_dict().values():
            each.zero_()
    average.update(network, 100)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert not any(each.requires_grad for each in average.network.parameters())
