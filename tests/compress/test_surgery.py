"""The smaller network against the whole one in which the dropped items are zero."""

from contextlib import ExitStack

import pytest
import torch
from torch import Tensor

from capsedge.compress.surgery import smaller
from capsedge.compress.wiring import TYPES, Wiring, wiring_of
from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, from_values, to_values
from tests.compress.networks import CLASSES, SHAPE, STEMS, images, network_of, recipe_with, silenced

HIDDEN = ("network.hidden=[]", "network.hidden=[[4, 6]]")


def some(wiring: Wiring, *, seed: int = 0) -> dict[str, Tensor]:
    """Two thirds of each width, by chance; what follows another width has its number."""
    generator = torch.Generator().manual_seed(seed)
    counts = {width: max(1, 2 * size // 3) for width, size in wiring.sizes.items()}
    counts |= {width: counts[wiring.follows[width]] for width in wiring.follows}
    for one, other in wiring.unequal:
        assert counts[one] == counts[other] == 4  # of 6 and of 7: they must differ
        counts |= {each: 5 for each in counts if other in (each, wiring.follows.get(each))}
    return {
        width: torch.randperm(size, generator=generator)[: counts[width]].sort().values
        for width, size in wiring.sizes.items()
    }


def cut(network: CapsNet, recipe: Recipe, kept: dict[str, Tensor]) -> tuple[CapsNet, Recipe]:
    return smaller(network, recipe, wiring_of(network, SHAPE), kept, classes=CLASSES, shape=SHAPE)


def dropped(wiring: Wiring, kept: dict[str, Tensor], maps: str) -> Tensor:
    width = wiring.width_of[maps]
    return torch.tensor([each for each in range(wiring.sizes[width]) if each not in kept[width].tolist()])


@torch.no_grad()
def masked(network: CapsNet, wiring: Wiring, kept: dict[str, Tensor], given: Tensor) -> Tensor:
    """Class capsules of the whole network, where dropped channels are zero and dropped types vote for nothing."""
    after = {"inside": "layers.2", "depthwise": "layers.2"}  # the ReLU behind the first convolution of a block
    with ExitStack() as stack:
        for maps in wiring.width_of:
            if maps != "primary":
                block, _, part = maps.rpartition(".")
                module = f"{block}.{after[part]}" if part in after else maps
                hook = silenced(network.get_submodule(module), dropped(wiring, kept, maps))
                stack.callback(hook.remove)
        u = network(given).primary.view(len(given), wiring.sizes[TYPES], -1, wiring.dim)
        u = u.index_fill(1, dropped(wiring, kept, "primary"), 0.0)
        return network.route(u.flatten(1, 2))


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("kind", ["l2", "backprop"])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_it_gives_what_the_whole_network_gives_without_the_dropped_items(stem: str, kind: str, hidden: str) -> None:
    recipe = recipe_with(stem, hidden, kind=kind)
    network = network_of(recipe)
    wiring = wiring_of(network, SHAPE)
    kept = some(wiring)
    result, _ = cut(network, recipe, kept)
    expected = masked(network, wiring, kept, images())
    assert expected.abs().max() > 0.1
    assert (expected - network(images()).classes).abs().max() > 0.1  # something was dropped
    torch.testing.assert_close(result(images()).classes, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("hidden", HIDDEN)
def test_its_recipe_builds_it_and_its_wiring_is_what_was_kept(stem: str, hidden: str) -> None:
    recipe = recipe_with(stem, hidden)
    network = network_of(recipe)
    kept = some(wiring_of(network, SHAPE))
    result, described = cut(network, recipe, kept)
    again = from_values(to_values(described), source="test")
    assert again == described
    built = build_network(again, classes=CLASSES, shape=SHAPE)
    built.load_state_dict(result.state_dict())
    wiring, counts = wiring_of(built, SHAPE), {width: len(items) for width, items in kept.items()}
    assert wiring.sizes == counts
    assert wiring.macs(counts) == wiring_of(network, SHAPE).macs(counts)
    assert wiring.parameters(counts) == wiring_of(network, SHAPE).parameters(counts)


def test_blocks_that_a_grid_adds_are_written_into_the_recipe() -> None:
    recipe = recipe_with("residual", "network.blocks=[[6, 2]]", "network.grid=2")
    network = network_of(recipe)  # 14 -> 7 -> 4 -> 2 pixels
    wiring = wiring_of(network, SHAPE)
    kept = {width: torch.arange(size - 1) for width, size in wiring.sizes.items()}
    _, described = cut(network, recipe, kept)
    assert described.network.blocks == ((5, 2), (5, 2), (5, 2))


def test_the_decoder_and_the_rest_of_the_recipe_stay() -> None:
    recipe = recipe_with("table1", "network.decoder=[7]", "train.epochs=9")
    network = network_of(recipe)
    kept = {"stem": torch.tensor([1, 2]), TYPES: torch.tensor([3])}
    result, described = cut(network, recipe, kept)
    assert (described.network.filters, described.network.capsule_types) == (2, 1)
    assert described.train == recipe.train
    assert result.decoder is not None
    assert network.decoder is not None
    pairs = zip(result.decoder.parameters(), network.decoder.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_the_whole_network_stays_as_it_was() -> None:
    recipe = recipe_with("residual")
    network = network_of(recipe)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    result, _ = cut(network, recipe, some(wiring_of(network, SHAPE)))
    with torch.no_grad():
        for values in result.parameters():
            values.fill_(7)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
