"""Latency and throughput over the batch, where a report has several batches."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import SOFT, Look, Plot
from capsedge.measure.bench.formats.words import number, percentile_ms
from capsedge.measure.bench.report import BenchReport, Case

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class _Figure(NamedTuple):
    """What is drawn over the batch."""

    name: str
    title: str
    unit: str
    of: Callable[[Case], float]
    note: str


def has_sweep(report: BenchReport) -> bool:
    """Whether some case was measured at several batches."""
    return any(len(of_label) > 1 for of_label in _by_label(report).values())


def batch_sweep(report: BenchReport, looks: dict[str, Look]) -> list[Plot]:
    """Draw the median latency of a query, and the images per second, over the images in a query."""
    return [_over_batch(_by_label(report), looks, figure) for figure in _FIGURES]


def _over_batch(by_label: dict[str, dict[int, Case]], looks: dict[str, Look], drawn: _Figure) -> Plot:
    values = {label: [drawn.of(case) for case in cases.values()] for label, cases in by_label.items()}
    every = [value for each in values.values() for value in each]
    with drawing.figure(2.7) as figure:
        axes = figure.subplots()
        for label, cases in by_label.items():
            axes.plot(list(cases), values[label], marker="o", **looks[label].line, markersize=4)
        drawing.plain_numbers(axes, "y", min(every), max(every), ticks=6)
        axes.grid(axis="y")
        axes.tick_params(length=2, color=SOFT)
        axes.set_ylabel(drawn.unit)
        axes.set_xlabel("images in a query")
        _batches(axes, sorted({batch for cases in by_label.values() for batch in cases}))
        told = "; ".join(_told(label, cases, drawn) for label, cases in by_label.items())
        svg = drawing.svg(figure, name=f"sweep-{drawn.name}", title=drawn.title, description=told)
    return Plot(drawn.title, svg, drawn.note, tuple(by_label))


def _by_label(report: BenchReport) -> dict[str, dict[int, Case]]:
    """The cases of each label, by their batch."""
    found: dict[str, dict[int, Case]] = {}
    for group in sorted(report.groups, key=lambda group: group.batch):
        for case in group.cases:
            found.setdefault(case.label, {})[group.batch] = case
    return found


def _median_ms(case: Case) -> float:
    value = percentile_ms(case, 50)
    return case.mean_ms if value is None else value


_FIGURES = (
    _Figure(
        "latency",
        "Latency over batch",
        "median of a query, ms",
        _median_ms,
        "The time of a whole query: lower is better.",
    ),
    _Figure(
        "rate",
        "Throughput over batch",
        "images/s",
        lambda case: case.images_per_second,
        "Higher is better; where the line is flat, a larger query only takes longer.",
    ),
)


def _batches(axes: "Axes", batches: list[int]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.xaxis.set_minor_locator(NullLocator())


def _told(label: str, cases: dict[int, Case], drawn: _Figure) -> str:
    figures = ", ".join(f"{number(drawn.of(case))} at batch {batch}" for batch, case in cases.items())
    return f"{label}, {drawn.unit}: {figures}"
