"""Latency over the rounds: where a drift, or a machine that falls from one mode into another, can be seen."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import INK, SOFT, Look, Plot
from capsedge.measure.bench.formats.words import number, shortened
from capsedge.measure.bench.report import Case, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A panel's cells; runs that fall into one are drawn as one, so that a long measurement is no heavier than a short.
_COLUMNS, _ROWS = 150, 44


def over_time(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Draw every run of each case over the rounds, with the median of the runs around."""
    with drawing.figure(0.85 * len(group.cases) + 0.5) as figure:
        panels = figure.subplots(len(group.cases), 1, sharex=True, squeeze=False)[:, 0]
        for axes, case in zip(panels, group.cases, strict=True):
            rounds, values = _when(case), drawing.samples(case)
            low, high = drawing.limits([values])
            across = np.linspace(0, max(group.rounds, 1), min(_COLUMNS, max(group.rounds, 30)) + 1)
            cells = _occupied(rounds, values, across, drawing.bins(low, high, _ROWS))
            _fill(axes, cells, looks[case.label].colour)
            axes.plot(*_medians(rounds, values, group.rounds), color=INK, linewidth=1)
            axes.set_title(shortened(case.label, 62))
            drawing.plain_numbers(axes, "y", low, high, ticks=3)
            axes.tick_params(length=2, color=SOFT)
            axes.grid(axis="y")
            axes.set_xlim(0, max(group.rounds, 1))
        panels[-1].set_xlabel("round")
        figure.supylabel("latency of a query, ms", fontsize=9)
        told = "; ".join(_told(case) for case in group.cases)
        drawn = drawing.svg(figure, name=name, title="Latency over time", description=told)
    return Plot(
        "Latency over time",
        drawn,
        "Each run is in it, at its round; runs that would cover each other are one mark. The line is the median "
        "around: a slope is a drift, two bands are two modes. Each panel has its own axis.",
    )


def _when(case: Case) -> NDArray[np.float64]:
    """The time of each run, in rounds: 2.5 is the middle of the third."""
    return np.concatenate(
        [index + (np.arange(len(turn)) + 0.5) / len(turn) for index, turn in enumerate(case.samples_ms)]
    )


def _occupied(
    rounds: NDArray[np.float64], values: NDArray[np.float64], across: NDArray[np.float64], up: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The cells that hold a run, [rectangles, 4, 2]; neighbours in a row are one rectangle."""
    counts, _, _ = np.histogram2d(values, rounds, (up, across))
    rectangles = []
    for row, occupied in enumerate(counts > 0):
        changes = np.flatnonzero(np.diff(np.concatenate([[False], occupied, [False]]).astype(int)))
        for left, right in across[changes.reshape(-1, 2)]:
            bottom, top = up[row], up[row + 1]
            rectangles.append([(left, bottom), (right, bottom), (right, top), (left, top)])
    return np.array(rectangles)


def _fill(axes: "Axes", rectangles: NDArray[np.float64], colour: str) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    outline = Path.make_compound_path_from_polys(rectangles)
    axes.add_patch(PathPatch(outline, facecolor=colour, linewidth=0))


def _medians(rounds: NDArray[np.float64], values: NDArray[np.float64], count: int) -> tuple[list[float], list[float]]:
    """The median of the runs of each stretch of the rounds, at its middle."""
    edges = np.linspace(0, max(count, 1), min(30, max(count, 1)) + 1)
    owner = np.searchsorted(edges, rounds, side="right") - 1
    there = [index for index in range(len(edges) - 1) if np.any(owner == index)]
    middles = [float(edges[index] + edges[index + 1]) / 2 for index in there]
    return middles, [float(np.median(values[owner == index])) for index in there]


def _told(case: Case) -> str:
    turns = [np.median(turn) for turn in case.samples_ms if turn]
    quarter = max(len(turns) // 4, 1)
    first, last = float(np.median(turns[:quarter])), float(np.median(turns[-quarter:]))
    return f"{case.label}: median of the first quarter {number(first)} ms, of the last {number(last)} ms"
