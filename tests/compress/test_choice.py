"""Which items go first, against a search over all single steps."""

from collections.abc import Mapping
from itertools import pairwise
from math import log

import pytest
import torch
from torch import Tensor

from capsedge.compress.choice import kept, path
from capsedge.compress.scores import Shares, shares
from capsedge.compress.wiring import TYPES, Counts, Wiring, wiring_of
from tests.compress.networks import SHAPE, STEMS, images, network_of, recipe_with


def wired(stem: str, *overrides: str) -> tuple[Wiring, Shares]:
    network = network_of(recipe_with(stem, *overrides))
    wiring = wiring_of(network, SHAPE)
    return wiring, shares(network, wiring, [images()])


def arrives(found: Mapping[str, Tensor], counts: Counts) -> float:
    """The logarithm of what arrives when the smallest shares are dropped."""
    return sum(log(1 - sum(sorted(found[width].tolist())[: len(found[width]) - counts[width]])) for width in found)


@pytest.mark.parametrize("stem", STEMS)
def test_each_step_is_the_cheapest_of_all_that_drop_one_item(stem: str) -> None:
    wiring, found = wired(stem)
    steps = path(wiring, found, multiple=1)
    assert steps[0] == wiring.sizes
    for before, after in pairwise(steps):
        prices = []
        for width in set(wiring.sizes) - set(wiring.follows):
            dropped = {each for each in wiring.sizes if width in (each, wiring.follows.get(each))}
            for fewer in range(1, before[width]):
                trial = {each: count - fewer * (each in dropped) for each, count in before.items()}
                if all(trial[one] != trial[other] for one, other in wiring.unequal):
                    lost = arrives(found, before) - arrives(found, trial)
                    prices.append((lost / (wiring.work(before) - wiring.work(trial)), trial))
                    break
        price, expected = min(prices, key=lambda each: each[0])
        lost = arrives(found, before) - arrives(found, after)
        assert lost / (wiring.work(before) - wiring.work(after)) == pytest.approx(price)
        assert after == expected


@pytest.mark.parametrize("stem", STEMS)
def test_the_last_step_leaves_one_of_everything_that_can_be_one(stem: str) -> None:
    wiring, found = wired(stem)
    last = path(wiring, found, multiple=1)[-1]
    least = dict.fromkeys(wiring.sizes, 1)
    for one, other in wiring.unequal:  # which must differ
        assert {last[one], last[other]} == {1, 2}
        least |= {each: last[each] for each in last if {each, wiring.follows.get(each)} & {one, other}}
    assert last == least


@pytest.mark.parametrize(("dim", "types"), [(8, {6, 5, 4, 3, 2, 1}), (4, {6, 4, 2}), (3, {6})])
def test_a_step_leaves_a_multiple_of_channels(dim: int, types: set[int]) -> None:
    wiring, found = wired("table1", "network.filters=21", "network.capsule_types=6", f"network.primary_dim={dim}")
    steps = path(wiring, found, multiple=8)
    assert {counts["stem"] for counts in steps} == {21, 16, 8}
    assert {counts[TYPES] for counts in steps} == types


def test_what_contributes_nothing_goes_first_and_the_most_expensive_of_it() -> None:
    wiring, found = wired("plain")
    found = {width: torch.full_like(share, 0.5 / (len(share) - 1)) for width, share in found.items()}
    for width in ("stem.1", "stem.3"):
        found[width][2] = 0
    first, second = path(wiring, found, multiple=1)[1:3]
    saved = {
        width: wiring.work(wiring.sizes) - wiring.work({**wiring.sizes, width: wiring.sizes[width] - 1})
        for width in ("stem.1", "stem.3")
    }
    dearest = max(saved, key=saved.__getitem__)
    assert first == {**wiring.sizes, dearest: wiring.sizes[dearest] - 1}
    assert second == {**wiring.sizes, **{width: wiring.sizes[width] - 1 for width in saved}}
    assert kept(second, found)["stem.3"].tolist() == [0, 1, 3, 4, 5, 6, 7, 8]


def test_the_largest_shares_are_kept_in_their_order() -> None:
    share = torch.tensor([0.1, 0.4, 0.1, 0.3, 0.1])
    assert kept({"a": 3}, {"a": share})["a"].tolist() == [0, 1, 3]
