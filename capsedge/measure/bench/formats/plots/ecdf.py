"""Cumulative distributions: which share of the runs took at most so long."""

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import SOFT, Look, Plot
from capsedge.measure.bench.formats.words import maybe, number, percentile_ms
from capsedge.measure.bench.report import Group

# Steps that are drawn of a curve: these many over all of it, and each of the runs at either end.
_STEPS, _ENDS = 250, 60
_MARKED = (50, 90, 99)


def ecdf(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Draw the share of runs over the latency, for every case of a group."""
    taken = [drawing.samples(case) for case in group.cases]
    low, high = drawing.limits(taken)
    with drawing.figure(3.1) as figure:
        axes = figure.subplots()
        for case, values in zip(group.cases, taken, strict=True):
            look = looks[case.label]
            times, shares = thinned(values)
            axes.step([times[0], *times], [0, *shares], where="post", **look.line)
            marked = [(percentile_ms(case, percent), percent) for percent in _MARKED]
            there = [(value, percent) for value, percent in marked if value is not None]
            axes.plot([each[0] for each in there], [each[1] for each in there], "o", color=look.colour, markersize=4)
        axes.set_yticks([0, 25, 50, 75, 90, 99], [f"{each} %" for each in (0, 25, 50, 75, 90, 99)])
        for tick, percent in zip(axes.yaxis.get_major_ticks(), (0, 25, 50, 75, 90, 99), strict=True):
            tick.gridline.set_linestyle("-" if percent in _MARKED else ":")
        axes.grid(axis="y")
        axes.grid(axis="x")
        axes.set_ylim(-1, 102)
        drawing.plain_numbers(axes, "x", low, high)
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel("latency of a query, ms")
        axes.set_ylabel("runs that took no longer")
        told = "; ".join(
            f"{case.label}: "
            + ", ".join(f"p{percent} {maybe(percentile_ms(case, percent))} ms" for percent in _MARKED)
            for case in group.cases
        )
        drawn = drawing.svg(figure, name=name, title="Cumulative distribution", description=told)
    return Plot(
        "Cumulative distribution",
        drawn,
        f"Further left is faster, steeper is steadier; dots are p50, p90 and p99 where the sample supports them. The "
        f"axis ends at the slowest run of all, {number(high)} ms.",
        tuple(case.label for case in group.cases),
    )


def thinned(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on the empirical distribution: all runs at either end, and in between so many that none is far.

    Returns:
        The latencies, and the percentage of runs that took no longer than each: both are those of the whole sample.
    """
    ordered = np.sort(values)
    count = len(ordered)
    kept = np.unique(
        np.concatenate(
            [
                np.linspace(0, count - 1, min(_STEPS, count)).astype(int),
                np.arange(min(_ENDS, count)),
                np.arange(max(count - _ENDS, 0), count),
            ]
        )
    )
    return ordered[kept], 100 * (kept + 1) / count
