"""Plots of the samples of a group: histogram, cumulative distribution, and latency over time. Nothing is clipped."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.report import Case, Group
from capsedge.measure.bench.show import drawing
from capsedge.measure.bench.show.drawing import INK, SOFT, Look, Plot
from capsedge.measure.bench.show.text import maybe, number, percentile_ms, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BINS = 90
# Least height of a non-empty bin, as a share of the panel, so that single slow iterations are visible.
_LOWEST = 0.035

# Points of a cumulative distribution: evenly spaced over all iterations, and every iteration at both ends.
_STEPS, _ENDS = 250, 60
_MARKED = (50, 90, 99)

# Grid cells of a panel over time. A cell is drawn once, whatever its number of iterations, which limits the file size
# of a long measurement.
_COLUMNS, _ROWS = 150, 44


def histogram(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Plot the histogram of the latency for every case of a group."""
    taken = [drawing.samples(case) for case in group.cases]
    low, high = drawing.limits(taken)
    edges = drawing.bins(low, high, _BINS)
    with drawing.figure(0.62 * len(taken) + 0.55) as figure:
        panels = figure.subplots(len(taken), 1, sharex=True, squeeze=False)[:, 0]
        for axes, case, values in zip(panels, group.cases, taken, strict=True):
            counts, _ = np.histogram(values, edges)
            heights = np.where(counts > 0, np.maximum(counts / counts.max(), _LOWEST), 0)
            axes.stairs(heights, edges, fill=True, color=looks[case.label].colour, linewidth=0)
            axes.plot(float(np.median(values)), 1.15, "v", color=INK, markersize=4)
            axes.set_title(shortened(case.label, 62))
            axes.set_yticks([])
            axes.set_ylim(0, 1.3)
            axes.spines["left"].set_visible(False)
            axes.tick_params(axis="x", length=2, color=SOFT)
        drawing.plain_numbers(panels[-1], "x", low, high)
        panels[-1].set_xlabel("latency of a query, ms")
        description = "; ".join(
            f"{case.label}: median {number(float(np.median(values)))} ms, {number(values.min())} to "
            f"{number(values.max())} ms"
            for case, values in zip(group.cases, taken, strict=True)
        )
        drawn = drawing.svg(figure, name=name, title="Latency histogram", description=description)
    scale = (
        "bins of equal ratio on a logarithmic axis" if drawing.needs_log_axis(low, high) else "bins of equal width"
    )
    return Plot(
        "Latency histogram",
        drawn,
        f"All iterations, from {number(low)} to {number(high)} ms, in {scale}. Each panel is scaled to its highest "
        "bin; a bin with few iterations is drawn high enough to be visible. The mark is the median.",
    )


def ecdf(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Plot the cumulative distribution of the latency for every case of a group."""
    taken = [drawing.samples(case) for case in group.cases]
    low, high = drawing.limits(taken)
    with drawing.figure(3.1) as figure:
        axes = figure.subplots()
        for case, values in zip(group.cases, taken, strict=True):
            look = looks[case.label]
            times, shares = thinned(values)
            axes.step([times[0], *times], [0, *shares], where="post", **look.line)
            marked = [(percentile_ms(case, percent), percent) for percent in _MARKED]
            dots = [(value, percent) for value, percent in marked if value is not None]
            axes.plot([each[0] for each in dots], [each[1] for each in dots], "o", color=look.colour, markersize=4)
        axes.set_yticks([0, 25, 50, 75, 90, 99], [f"{each} %" for each in (0, 25, 50, 75, 90, 99)])
        for tick, percent in zip(axes.yaxis.get_major_ticks(), (0, 25, 50, 75, 90, 99), strict=True):
            tick.gridline.set_linestyle("-" if percent in _MARKED else ":")
        axes.grid(axis="y")
        axes.grid(axis="x")
        axes.set_ylim(-1, 102)
        drawing.plain_numbers(axes, "x", low, high)
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel("latency of a query, ms")
        axes.set_ylabel("iterations that took no longer")
        description = "; ".join(
            f"{case.label}: "
            + ", ".join(f"p{percent} {maybe(percentile_ms(case, percent))} ms" for percent in _MARKED)
            for case in group.cases
        )
        drawn = drawing.svg(figure, name=name, title="Cumulative distribution", description=description)
    return Plot(
        "Cumulative distribution",
        drawn,
        "Further left is faster, steeper is more constant; dots are p50, p90 and p99 if supported by the sample. "
        f"The axis ends at the slowest iteration, {number(high)} ms.",
        tuple(case.label for case in group.cases),
    )


def thinned(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points of the empirical distribution: every iteration at both ends, and evenly spaced ones between.

    Args:
        values: Latencies of all iterations, [iterations].

    Returns:
        The latencies, [points], and for each the percentage of all iterations that took no longer, [points].
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


def over_time(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Plot every iteration of each case over the rounds, with a running median."""
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
        description = "; ".join(_drift(case) for case in group.cases)
        drawn = drawing.svg(figure, name=name, title="Latency over time", description=description)
    return Plot(
        "Latency over time",
        drawn,
        "All iterations by round; overlapping ones are drawn as one mark. The line is the running median: a slope is "
        "a drift, two bands are two modes. Each panel has its own scale.",
    )


def _when(case: Case) -> NDArray[np.float64]:
    """Position of each iteration in rounds: 2.5 is the middle of the third round."""
    return np.concatenate(
        [index + (np.arange(len(turn)) + 0.5) / len(turn) for index, turn in enumerate(case.samples_ms)]
    )


def _occupied(
    rounds: NDArray[np.float64], values: NDArray[np.float64], across: NDArray[np.float64], up: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rectangles of the non-empty cells, [rectangles, 4, 2]; neighbours in a row are merged."""
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
    """Median latency of each of up to 30 sections of the rounds, at the middle of the section."""
    edges = np.linspace(0, max(count, 1), min(30, max(count, 1)) + 1)
    owner = np.searchsorted(edges, rounds, side="right") - 1
    occupied = [index for index in range(len(edges) - 1) if np.any(owner == index)]
    middles = [float(edges[index] + edges[index + 1]) / 2 for index in occupied]
    return middles, [float(np.median(values[owner == index])) for index in occupied]


def _drift(case: Case) -> str:
    turns = [np.median(turn) for turn in case.samples_ms if turn]
    quarter = max(len(turns) // 4, 1)
    first, last = float(np.median(turns[:quarter])), float(np.median(turns[-quarter:]))
    return f"{case.label}: median of the first quarter {number(first)} ms, of the last {number(last)} ms"
