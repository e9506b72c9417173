"""Which items to drop first: those that contribute least for what they cost."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from capsedge.compress.scores import Shares
from capsedge.compress.wiring import TYPES, Counts, Wiring

SMALLEST = 1e-12  # share of which there is a logarithm


def path(wiring: Wiring, shares: Shares, *, multiple: int) -> list[Counts]:
    """How many of each width are left, step by step, from the whole network to the smallest.

    Each width passes on the shares that it keeps, so their product is what arrives at the class capsules. A step
    drops the items of one width that lower the logarithm of that product least for the work that they save. It leaves
    a multiple of some number of channels: ONNX Runtime's convolutions take up to 1.7 times as long where the channels
    are no multiple of 4, and otherwise as long as with the next multiple of 8 (docs/compress.md).

    Args:
        wiring: Of the network.
        shares: Of each item.
        multiple: Of channels, that a step leaves.

    Returns:
        The counts of every step; the first are those of the network.
    """
    counts: Counts = dict(wiring.sizes)
    arrives = {width: _arrives(share) for width, share in shares.items()}
    steps = [counts]
    while True:
        smaller = [each for width in wiring.sizes for each in _smaller(wiring, counts, width, multiple)]
        if not smaller:
            return steps
        before, work = _loss(arrives, counts), wiring.work(counts)

        def price(each: Counts, before: float = before, work: int = work) -> tuple[float, int]:
            saved = work - wiring.work(each)
            return (_loss(arrives, each) - before) / saved, -saved

        counts = min(smaller, key=price)
        steps.append(counts)


def kept(counts: Counts, shares: Shares) -> Mapping[str, Tensor]:
    """The items of each width with the largest shares, in their order; of equal ones the first."""
    return {
        width: share.argsort(descending=True, stable=True)[: counts[width]].sort().values
        for width, share in shares.items()
    }


def _smaller(wiring: Wiring, counts: Counts, width: str, multiple: int) -> Iterator[Counts]:
    """The counts with the next smaller number of a width, if there is one."""
    if width in wiring.follows:
        return
    channels = wiring.dim if width == TYPES else 1
    for count in range(counts[width] - 1, 0, -1):
        changed = {each for each in wiring.sizes if width in (each, wiring.follows.get(each))}
        less = {**counts, **dict.fromkeys(changed, count)}
        if count * channels % multiple == 0 and all(less[one] != less[other] for one, other in wiring.unequal):
            yield less
            return


def _arrives(share: Tensor) -> Tensor:
    """Of a width of n items: what arrives, as a share of all, when the k largest are kept; k from 0 to n."""
    lost = share.sum() - share.sort(descending=True).values.cumsum(0)
    return torch.cat([torch.zeros(1), (1 - lost).clamp_min(SMALLEST)])


def _loss(arrives: Mapping[str, Tensor], counts: Counts) -> float:
    """How far the logarithm of what arrives has fallen."""
    return -sum(float(arrives[width][count].log()) for width, count in counts.items())
