"""The order of pruning: items with the smallest contribution for their cost come first."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from capsedge.compress.scores import Shares
from capsedge.compress.wiring import TYPES, Counts, Wiring

SMALLEST = 1e-12  # replaces a share of 0, whose logarithm is infinite


def path(wiring: Wiring, shares: Shares, *, multiple: int) -> list[Counts]:
    """The remaining items of each width, step by step, from the whole network to the smallest.

    Each width passes on the sum of the shares that it keeps; the product over the widths is what reaches the class
    capsules. A step drops items of the width where the logarithm of that product falls least for the work that is
    saved. It leaves a multiple of `multiple` channels: ONNX Runtime's convolutions take up to 1.7 times as long if
    the number of channels is not a multiple of 4, and otherwise as long as with the next multiple of 8
    (docs/compress.md).

    Args:
        wiring: Wiring of the network.
        shares: Share of each item of each width.
        multiple: The number of channels after a step is a multiple of it.

    Returns:
        The counts of every step; the first are those of the network.
    """
    counts: Counts = dict(wiring.sizes)
    passed_on = {width: _passed_on(share) for width, share in shares.items()}
    steps = [counts]
    while True:
        smaller = [each for width in wiring.sizes for each in _smaller(wiring, counts, width, multiple)]
        if not smaller:
            return steps
        before, work = _loss(passed_on, counts), wiring.work(counts)

        def price(each: Counts, before: float = before, work: int = work) -> tuple[float, int]:
            saved = work - wiring.work(each)
            return (_loss(passed_on, each) - before) / saved, -saved

        counts = min(smaller, key=price)
        steps.append(counts)


def kept(counts: Counts, shares: Shares) -> Mapping[str, Tensor]:
    """The items of each width with the largest shares, in ascending order; among equal shares the first items."""
    return {
        width: share.argsort(descending=True, stable=True)[: counts[width]].sort().values
        for width, share in shares.items()
    }


def _smaller(wiring: Wiring, counts: Counts, width: str, multiple: int) -> Iterator[Counts]:
    """The counts with the next smaller number of items of a width, if there is one."""
    if width in wiring.follows:
        return
    channels = wiring.dim if width == TYPES else 1
    for count in range(counts[width] - 1, 0, -1):
        changed = {each for each in wiring.sizes if width in (each, wiring.follows.get(each))}
        less = {**counts, **dict.fromkeys(changed, count)}
        if count * channels % multiple == 0 and all(less[one] != less[other] for one, other in wiring.unequal):
            yield less
            return


def _passed_on(share: Tensor) -> Tensor:
    """Share of the total that a width of n items passes on if it keeps the k largest, for k from 0 to n."""
    lost = share.sum() - share.sort(descending=True).values.cumsum(0)
    return torch.cat([torch.zeros(1), (1 - lost).clamp_min(SMALLEST)])


def _loss(passed_on: Mapping[str, Tensor], counts: Counts) -> float:
    """The negative logarithm of the share that reaches the class capsules."""
    return -sum(float(passed_on[width][count].log()) for width, count in counts.items())
