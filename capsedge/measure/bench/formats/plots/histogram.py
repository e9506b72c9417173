"""Latency histograms: a panel a case, all over one axis that holds every run."""

import numpy as np

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import INK, SOFT, Look, Plot
from capsedge.measure.bench.formats.words import number, shortened
from capsedge.measure.bench.report import Group

_BINS = 90
# A bin with a single run is drawn so high, as a share of the panel, or nobody would see the slowest runs.
_LOWEST = 0.035


def histogram(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Draw how often each latency came, for every case of a group."""
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
        told = "; ".join(
            f"{case.label}: median {number(float(np.median(values)))} ms, {number(values.min())} to "
            f"{number(values.max())} ms"
            for case, values in zip(group.cases, taken, strict=True)
        )
        drawn = drawing.svg(figure, name=name, title="Latency histogram", description=told)
    scale = "bins of equal ratio on a logarithmic axis" if drawing.spread_out(low, high) else "bins of equal width"
    return Plot(
        "Latency histogram",
        drawn,
        f"Every run is in it, from {number(low)} to {number(high)} ms, in {scale}. Each panel is as high as its "
        "fullest bin; a bin with a single run is drawn high enough to be seen. The mark is the median.",
    )
