"""Shares against slow loops in float64, and against what must not change them."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from capsedge.compress.scores import Rule, Shares, observed, shares
from capsedge.compress.wiring import TYPES, wiring_of
from capsedge.models import CapsNet
from capsedge.models.routing import StaticRouting
from capsedge.models.stem import BatchNorm
from tests.compress.networks import SHAPE, STEMS, images, network_of, recipe_with


def shares_of(network: CapsNet, *, by: Rule = "routing", seed: int = 0) -> Shares:
    return shares(network, wiring_of(network, SHAPE), torch.split(images(), 4), by=by, seed=seed)


def conv_and_norm(network: CapsNet, name: str) -> tuple[nn.Conv2d, BatchNorm]:
    parent, _, index = name.rpartition(".")
    layers = network.get_submodule(parent)
    conv, norm = layers[int(index)], layers[int(index) + 1]  # type: ignore[index]
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, BatchNorm)
    return conv, norm


def energies(conv: nn.Conv2d, norm: BatchNorm | None, squares: list[float]) -> list[list[float]]:
    """Of each channel above (rows), what each channel below brings; one weight after the other."""
    result = []
    for above in range(conv.out_channels):
        scale = 1.0
        if norm is not None:
            assert norm.running_var is not None
            scale = norm.weight[above].item() ** 2 / (norm.running_var[above].item() + norm.eps)
        row = [0.0] * len(squares)
        for below in range(conv.weight.shape[1]):
            source = above if conv.groups > 1 else below
            row[source] = sum(w**2 for w in conv.weight[above, below].flatten().tolist()) * scale * squares[source]
        result.append(row)
    return result


def mean_squares(maps: Tensor) -> list[float]:
    return [channel.double().square().mean().item() for channel in maps.unbind(1)]


def passed_down(
    above: list[float], brought: list[list[float]], beside: list[list[float]] | None = None
) -> list[float]:
    """Each unit's share, divided among what comes in; `beside` is another way in, which takes its part."""
    given = [0.0] * len(brought[0])
    for unit, (share, row) in enumerate(zip(above, brought, strict=True)):
        total = sum(row) + (sum(beside[unit]) if beside else 0.0)
        for channel, energy in enumerate(row):
            given[channel] += share * energy / total
    return given


def capsules_by_hand(network: CapsNet, u: Tensor) -> list[float]:
    layer = network.routing_layers[0]
    assert isinstance(layer, StaticRouting)
    W, b, u = layer.weight.double(), layer.b.double(), u.double()  # noqa: N806  # the paper's names
    return [
        sum(
            (b[i, j] * (u[k, i] @ W[i, :, j])).square().sum().item()
            for k, j in product(range(len(u)), range(b.shape[1]))
        )
        / len(u)
        for i in range(len(b))
    ]


def types_by_hand(network: CapsNet, u: Tensor) -> list[float]:
    capsules = capsules_by_hand(network, u)
    grid = len(capsules) // network.primary.types
    types = [sum(capsules[t * grid : (t + 1) * grid]) for t in range(network.primary.types)]
    return [each / sum(types) for each in types]


def into_primary(network: CapsNet, features: Tensor) -> list[list[float]]:
    """What each channel of the stem brings into each type."""
    norm = network.primary.norm
    assert norm is None or isinstance(norm, BatchNorm)
    rows, dim = energies(network.primary.conv, norm, mean_squares(features)), network.primary.dim
    return [
        [sum(column) for column in zip(*rows[t * dim : (t + 1) * dim], strict=True)]
        for t in range(network.primary.types)
    ]


def close(found: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("kind", ["l2", "backprop"])
@pytest.mark.parametrize("hidden", ["network.hidden=[]", "network.hidden=[[4, 6]]"])
def test_a_capsule_contributes_the_energy_of_its_votes(kind: str, hidden: str) -> None:
    network = network_of(recipe_with("table1", hidden, kind=kind))
    given = images()
    found = observed(network, wiring_of(network, SHAPE), torch.split(given, 4)).capsules
    with torch.no_grad():
        close(found, capsules_by_hand(network, network(given).primary))
        close(shares_of(network)[TYPES], types_by_hand(network, network(given).primary))


@torch.no_grad()
def test_the_shares_of_a_plain_stem_follow_the_energies_by_hand() -> None:
    network = network_of(recipe_with("plain"))
    maps = [images()]
    for block in network.stem.children():
        maps.append(block(maps[-1]))
    down = passed_down(types_by_hand(network, network(images()).primary), into_primary(network, maps[-1]))
    found = shares_of(network)
    for number in (3, 2, 1, 0):
        close(found[f"stem.{number}"], down)
        if number:
            conv, norm = conv_and_norm(network, f"stem.{number}.0")
            down = passed_down(down, energies(conv, norm, mean_squares(maps[number])))


@torch.no_grad()
def test_the_shares_of_a_residual_stem_go_through_both_ways_by_hand() -> None:
    network = network_of(recipe_with("residual", "network.blocks=[[6, 2], [6, 1], [9, 2]]"))
    maps = [images()]
    for block in network.stem.children():
        maps.append(block(maps[-1]))
    types = types_by_hand(network, network(images()).primary)
    third = passed_down(types, into_primary(network, maps[3]))

    def inside(number: int) -> Tensor:
        layers = network.get_submodule(f"stem.{number}.layers")
        return layers[:3](maps[number])  # type: ignore[index,no-any-return]

    into = energies(*conv_and_norm(network, "stem.2.layers.3"), mean_squares(inside(2)))
    around = energies(*conv_and_norm(network, "stem.2.around.0"), mean_squares(maps[2]))
    in_third = passed_down(third, into, around)
    first_way = passed_down(in_third, energies(*conv_and_norm(network, "stem.2.layers.0"), mean_squares(maps[2])))
    second = [one + other for one, other in zip(first_way, passed_down(third, around, into), strict=True)]

    into = energies(*conv_and_norm(network, "stem.1.layers.3"), mean_squares(inside(1)))
    skip = torch.tensor(mean_squares(maps[1])).diag().tolist()
    in_second = passed_down(second, into, skip)
    first_way = passed_down(in_second, energies(*conv_and_norm(network, "stem.1.layers.0"), mean_squares(maps[1])))
    first = [one + other for one, other in zip(first_way, passed_down(second, skip, into), strict=True)]

    found = shares_of(network)
    close(found["stem.2"], third)
    close(found["stem.2.inside"], in_third)
    close(found["stem.1.inside"], in_second)
    close(found["stem.0"], [(one + other) / 2 for one, other in zip(first, second, strict=True)])


@torch.no_grad()
def test_the_shares_of_a_separable_stem_pass_each_channel_on_alone_by_hand() -> None:
    network = network_of(recipe_with("separable", "network.blocks=[[6, 2], [9, 2]]"))
    low = network.get_submodule("stem.0")(images())
    high = network.get_submodule("stem.1")(low)
    above = passed_down(types_by_hand(network, network(images()).primary), into_primary(network, high))
    middle = network.get_submodule("stem.1.layers")[:3](low)  # type: ignore[index]
    each = passed_down(above, energies(*conv_and_norm(network, "stem.1.layers.3"), mean_squares(middle)))
    below = passed_down(each, energies(*conv_and_norm(network, "stem.1.layers.0"), mean_squares(low)))
    torch.testing.assert_close(each, below)  # nothing is added, so nothing is divided
    found = shares_of(network)
    close(found["stem.1"], above)
    close(found["stem.0"], below)


@torch.no_grad()
def test_the_shares_of_a_repvgg_stem_go_through_its_three_branches_by_hand() -> None:
    network = network_of(recipe_with("repvgg", "network.blocks=[[6, 2], [6, 1]]"))
    low = network.get_submodule("stem.0")(images())
    high = network.get_submodule("stem.1")(low)
    above = passed_down(types_by_hand(network, network(images()).primary), into_primary(network, high))
    squares = mean_squares(low)
    spatial = energies(*conv_and_norm(network, "stem.1.spatial.0"), squares)
    pointwise = energies(*conv_and_norm(network, "stem.1.pointwise.0"), squares)
    norm = network.get_submodule("stem.1.identity")
    assert isinstance(norm, BatchNorm)
    assert norm.running_var is not None
    scales = (norm.weight.square() / (norm.running_var + norm.eps)).tolist()
    identity = torch.tensor([scale * square for scale, square in zip(scales, squares, strict=True)]).diag().tolist()
    together = (torch.tensor(spatial) + torch.tensor(pointwise) + torch.tensor(identity)).tolist()
    below = passed_down(above, together)
    close(shares_of(network)["stem.0"], [(one + other) / 2 for one, other in zip(above, below, strict=True)])


@pytest.mark.parametrize("stem", STEMS)
def test_b_and_w_count_by_their_product_alone(stem: str) -> None:
    network = network_of(recipe_with(stem))
    before = shares_of(network)
    layer = network.routing
    assert isinstance(layer, StaticRouting)
    c = torch.rand(layer.b.shape) * 8 - 4
    with torch.no_grad():
        layer.b.mul_(c)
        layer.weight.div_(c[:, None, :, None])
    for width, share in shares_of(network).items():
        torch.testing.assert_close(share, before[width], rtol=1e-4, atol=1e-7)


def test_a_channel_that_is_scaled_and_read_with_as_much_less_keeps_its_share() -> None:
    network = network_of(recipe_with("table1"))
    before = shares_of(network)
    conv = network.get_submodule("stem.conv")
    assert isinstance(conv, nn.Conv2d)
    assert conv.bias is not None
    scale = torch.tensor([0.1, 1.0, 10.0, 0.5, 2.0, 7.0])
    with torch.no_grad():
        conv.weight.mul_(scale[:, None, None, None])
        conv.bias.mul_(scale)
        network.primary.conv.weight.div_(scale[None, :, None, None])
    for width, share in shares_of(network).items():
        torch.testing.assert_close(share, before[width], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("stem", STEMS)
def test_a_channel_that_is_always_zero_has_no_share(stem: str) -> None:
    network = network_of(recipe_with(stem))
    wiring = wiring_of(network, SHAPE)
    width = next(iter(wiring.sizes))
    with torch.no_grad():
        for link in wiring.links:
            if wiring.width_of[link.above] == width:
                for layer in (link.conv, link.norm):
                    for name, values in network.get_submodule(layer).named_parameters() if layer else ():
                        del name
                        values[2] = 0
    found = shares_of(network)[width]
    assert found[2] == 0
    assert (found[[0, 1, 3, 4, 5]] > 0).all()


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("by", ["routing", "magnitude", "random"])
def test_the_shares_of_a_width_add_up_to_one(stem: str, by: Rule) -> None:
    network = network_of(recipe_with(stem))
    wiring = wiring_of(network, SHAPE)
    for width, share in shares_of(network, by=by).items():
        assert len(share) == wiring.sizes[width]
        assert (share >= 0).all()
        # A branch inside a block has what does not go around it; so has the depthwise part of a block that adds.
        partial = by == "routing" and (width in wiring.follows or (stem, width) == ("separable", "stem.0"))
        assert share.sum() < 1 if partial else abs(share.sum() - 1) < 1e-9


def test_magnitude_looks_at_the_weights_that_make_a_channel() -> None:
    network = network_of(recipe_with("plain"))
    conv, norm = conv_and_norm(network, "stem.1.0")
    norms = [sum(row) for row in energies(conv, norm, [1.0] * 6)]
    close(shares_of(network, by="magnitude")["stem.1"], [each / sum(norms) for each in norms])
    types = [sum(row) for row in into_primary(network, torch.ones(1, 9, 1, 1))]
    close(shares_of(network, by="magnitude")[TYPES], [each / sum(types) for each in types])


def test_random_is_another_order_for_another_seed_and_the_same_for_the_same() -> None:
    network = network_of(recipe_with("plain"))
    one, again, other = (shares_of(network, by="random", seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(one[width], again[width]) for width in one)
    assert any(not torch.equal(one[width].argsort(), other[width].argsort()) for width in one)
