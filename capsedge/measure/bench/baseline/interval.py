"""The ratio of two processes' figures, with the interval in which chance leaves it.

Rounds are drawn with replacement, each side by itself, because the two did not take turns. A round is drawn whole:
its runs are alike. Where neighbouring rounds are alike too (the machine drifts, or stays in one of two speeds for a
while), blocks of neighbours are drawn, or the interval would be far too narrow: docs/bench.md has the figures
(circular block bootstrap: Politis and Romano, 1992).

A block is a quarter of the rounds: what keeps rounds alike mostly lasts, and shorter blocks, whose length followed
from how fast the likeness fades, covered less in simulations. As a spread that only four blocks tell is itself
unsure, the drawn figures are moved apart by as much as Student's t with 3 degrees of freedom is wider than a normal
distribution, as the method of batch means does.
"""

from collections.abc import Sequence
from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.ratio import FEWEST_ROUNDS
from capsedge.measure.bench.report import Case

RESAMPLES = 1000
BLOCKS = 4

Rounds = Sequence[NDArray[np.float64]]

# 97.5 % point of Student's t with 3 degrees of freedom over that of the normal distribution; and as a bootstrap of k
# blocks takes the variance over k, it is too small by k - 1 over k.
_WIDER = 3.182 / 1.960 * sqrt(BLOCKS / (BLOCKS - 1))
_SEED = 20260101
_ROUNDING = 1e-9


def rounds_of(case: Case) -> list[NDArray[np.float64]]:
    """The timed runs of each round, in milliseconds."""
    return [np.asarray(turn) for turn in case.samples_ms if turn]


def figure(rounds: Rounds, percent: int | None) -> float:
    """A percentile of all runs, or their mean where it is None."""
    samples = np.concatenate(rounds)
    return float(samples.mean() if percent is None else np.percentile(samples, percent))


def interval(now: Rounds, then: Rounds, percent: int | None) -> tuple[float, float] | tuple[None, None]:
    """The 95 % interval of the ratio of the two figures; none with fewer than `ratio.FEWEST_ROUNDS` rounds."""
    if min(len(now), len(then)) < FEWEST_ROUNDS:
        return None, None
    generator = np.random.default_rng(_SEED)
    ratios = _redrawn(now, percent, generator) / _redrawn(then, percent, generator)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def alike(rounds: Rounds) -> bool:
    """Whether neighbouring rounds are more alike than chance makes them.

    That is, whether the first autocorrelation of the logarithms of their medians is beyond two standard errors, which
    are 1 over the root of the number of rounds where there is none.
    """
    medians = np.log([np.median(turn) for turn in rounds])
    off = medians - medians.mean()
    return bool(np.ptp(medians) > _ROUNDING and off[1:] @ off[:-1] > 2 / sqrt(len(off)) * (off @ off))


def _redrawn(rounds: Rounds, percent: int | None, generator: np.random.Generator) -> NDArray[np.float64]:
    """The figure of each resample, [resamples]."""
    if not alike(rounds):
        return _figures(rounds, _times_drawn(len(rounds), 1, generator), percent)
    found = _figures(rounds, _times_drawn(len(rounds), len(rounds) // BLOCKS, generator), percent)
    own = figure(rounds, percent)
    wider: NDArray[np.float64] = own * (found / own) ** _WIDER
    return wider


def _times_drawn(rounds: int, block: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """How often each resample has each round, [resamples, rounds]; the first round follows the last."""
    starts = generator.integers(0, rounds, (RESAMPLES, -(-rounds // block)))
    drawn = (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :rounds] % rounds
    times = np.zeros((RESAMPLES, rounds), dtype=np.int64)
    np.add.at(times, (np.arange(RESAMPLES)[:, None], drawn), 1)
    return times


def _figures(rounds: Rounds, drawn: NDArray[np.int64], percent: int | None) -> NDArray[np.float64]:
    lengths = np.array([len(turn) for turn in rounds])
    if percent is None:
        sums = np.array([turn.sum() for turn in rounds])
        means: NDArray[np.float64] = (drawn @ sums) / (drawn @ lengths)
        return means
    samples = np.concatenate(rounds)
    order = np.argsort(samples)
    owner = np.repeat(np.arange(len(rounds)), lengths)[order]
    return np.array([percentile_of_repeated(samples[order], times[owner], percent) for times in drawn])


def percentile_of_repeated(ordered: NDArray[np.float64], times: NDArray[np.int64], percent: int) -> float:
    """`np.percentile` of ordered samples that are there so many times each, without repeating them."""
    ends = np.cumsum(times)
    place = (ends[-1] - 1) * percent / 100
    below = floor(place)
    low, high = ordered[np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")]
    return float(low + (place - below) * (high - low))
