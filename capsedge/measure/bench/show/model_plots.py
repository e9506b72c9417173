"""Plots that compare the models of a report: figures over the batch, error against latency, and the breakdown."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from capsedge.measure.bench.plan import METRIC
from capsedge.measure.bench.report import BenchReport, Case, Group
from capsedge.measure.bench.show import drawing
from capsedge.measure.bench.show.drawing import INK, PAPER, SOFT, Look, Plot
from capsedge.measure.bench.show.text import maybe, number, percentile_ms, shortened
from capsedge.plural import number_of, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Opacity of each part of a query, in the colour of the case.
_SHADES = {"decode": 0.35, "copy in": 0.6, "compute": 1.0, "copy out": 0.75}


class Point(NamedTuple):
    """A case with its latency and error."""

    case: Case
    latency_ms: float
    error_percent: float


class _BatchPlot(NamedTuple):
    """A figure to plot over the batch."""

    name: str
    title: str
    unit: str
    of: Callable[[Case], float]
    note: str


def has_sweep(report: BenchReport) -> bool:
    """Whether some case was measured at several batches."""
    return any(len(of_label) > 1 for of_label in _by_label(report).values())


def batch_sweep(report: BenchReport, looks: dict[str, Look]) -> list[Plot]:
    """Plot the median latency of a query and the images per second over the batch."""
    return [_over_batch(_by_label(report), looks, figure) for figure in _FIGURES]


def _over_batch(by_label: dict[str, dict[int, Case]], looks: dict[str, Look], drawn: _BatchPlot) -> Plot:
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
        description = "; ".join(_batch_description(label, cases, drawn) for label, cases in by_label.items())
        svg = drawing.svg(figure, name=f"sweep-{drawn.name}", title=drawn.title, description=description)
    return Plot(drawn.title, svg, drawn.note, tuple(by_label))


def _by_label(report: BenchReport) -> dict[str, dict[int, Case]]:
    """Cases by label, then by batch."""
    found: dict[str, dict[int, Case]] = {}
    for group in sorted(report.groups, key=lambda group: group.batch):
        for case in group.cases:
            found.setdefault(case.label, {})[group.batch] = case
    return found


def _median_ms(case: Case) -> float:
    value = percentile_ms(case, 50)
    return case.mean_ms if value is None else value


def _batches(axes: "Axes", batches: list[int]) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(batches, [str(batch) for batch in batches])
    axes.xaxis.set_minor_locator(NullLocator())


def _batch_description(label: str, cases: dict[int, Case], drawn: _BatchPlot) -> str:
    figures = ", ".join(f"{number(drawn.of(case))} at batch {batch}" for batch, case in cases.items())
    return f"{label}, {drawn.unit}: {figures}"


def has_errors(group: Group) -> bool:
    """Whether at least two cases have an error."""
    return sum(case.error is not None for case in group.cases) > 1


def pareto(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Plot the error of each case over its latency, numbered, with the Pareto front."""
    figures, what = points(group)
    best = front(figures)
    low, high = min(each.latency_ms for each in figures), max(each.latency_ms for each in figures)
    with drawing.figure(3.3) as figure:
        axes = figure.subplots()
        axes.step(
            [each.latency_ms for each in best], [each.error_percent for each in best], where="post", color=SOFT, lw=1
        )
        for each in best:
            axes.plot(each.latency_ms, each.error_percent, "o", markersize=12, mfc="none", mec=SOFT, mew=0.8)
        for place, each in enumerate(figures):
            colour = looks[each.case.label].colour
            axes.plot(
                each.latency_ms,
                each.error_percent,
                "o",
                markersize=6.5,
                markeredgecolor=colour,
                markerfacecolor=colour if each.case.error_on == "test" else PAPER,
                markeredgewidth=1.6,
            )
            axes.annotate(
                str(place + 1),
                (each.latency_ms, each.error_percent),
                (6, -9 if place % 2 else 5),  # alternate sides, so that neighbouring numbers do not overlap
                textcoords="offset points",
                fontsize=8.5,
                color=INK if each in best else SOFT,
            )
        drawing.plain_numbers(axes, "x", low, high)
        axes.margins(y=0.18)
        axes.grid()
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel(f"{what}, ms")
        axes.set_ylabel("error, %")
        description = "; ".join(
            f"{each.case.label}: {number(each.latency_ms)} ms, {each.error_percent:.2f} %"
            f"{' (on the front)' if each in best else ''}"
            for each in figures
        )
        drawn = drawing.svg(figure, name=name, title="Error against latency", description=description)
    hollow = any(each.case.error_on == "validation" for each in figures)
    left_out = len(group.cases) - len(figures)
    return Plot(
        "Error against latency",
        drawn,
        "Lower left is better. No other model is better than a ringed one in both error and latency."
        + (" Hollow: error on validation images, because there is no test score." if hollow else "")
        + (
            f" {number_of(left_out, 'case')} without a known error {plural(left_out, 'is', 'are')} left out."
            if left_out
            else ""
        ),
        tuple(each.case.label for each in figures),
        numbered=True,
    )


def points(group: Group) -> tuple[list[Point], str]:
    """Cases with an error, the fastest first, by the metric of the scenario, or by the median if a case lacks it."""
    cases = [case for case in group.cases if case.error is not None]
    percent = METRIC[group.scenario] or 50
    if any(percentile_ms(case, percent) is None for case in cases):
        percent = 50
    figures = [
        Point(case, case.mean_ms if value is None else value, 100 * (case.error or 0.0))
        for case in cases
        for value in [percentile_ms(case, percent)]
    ]
    return sorted(figures, key=lambda point: point.latency_ms), f"p{percent:g} of a query"


def front(figures: Sequence[Point]) -> list[Point]:
    """The Pareto front, fastest first: no other point is at least as good in both and better in one."""
    kept: list[Point] = []
    for each in sorted(figures, key=lambda point: (point.latency_ms, point.error_percent)):
        if not kept or each.error_percent < kept[-1].error_percent:
            kept.append(each)
    return kept


def has_breakdown(group: Group) -> bool:
    """Whether at least one case of the group has two or more parts."""
    return any(len(_parts(case)) > 1 for case in group.cases)


def breakdown(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Plot the median of each part of a query as stacked bars, one bar per case."""
    cases = [case for case in group.cases if _parts(case)]
    with drawing.figure(0.5 * len(cases) + 0.75) as figure:
        axes = figure.subplots()
        for place, case in enumerate(cases):
            start = 0.0
            for part, value in _parts(case).items():
                axes.barh(place, value, left=start, height=0.36, color=looks[case.label].colour, alpha=_SHADES[part])
                start += value
            axes.text(0, place - 0.28, shortened(case.label, 62), va="bottom", ha="left")
        axes.set_ylim(len(cases) - 0.6, -0.75)
        axes.set_yticks([])
        axes.set_xlim(0, None)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel("median of a query, ms")
        description = "; ".join(f"{case.label}: {_parts_description(case)}" for case in cases)
        drawn = drawing.svg(figure, name=name, title="Where the time goes", description=description)
    return Plot(
        "Where the time goes",
        drawn,
        "From left to right, if the part exists: decoding (palest), copy in, compute (full colour), copy out. They "
        "were measured separately from the timed iterations; the numbers are under 'How each case ran'.",
    )


def _parts(case: Case) -> dict[str, float]:
    values = {part: getattr(case.breakdown, f"{part.replace(' ', '_')}_ms") for part in _SHADES}
    return {part: value for part, value in values.items() if value is not None}


def _parts_description(case: Case) -> str:
    return ", ".join(f"{part} {maybe(value)} ms" for part, value in _parts(case).items())


_FIGURES = (
    _BatchPlot(
        "latency",
        "Latency over batch",
        "median of a query, ms",
        _median_ms,
        "Latency of a whole query: lower is better.",
    ),
    _BatchPlot(
        "rate",
        "Throughput over batch",
        "images/s",
        lambda case: case.images_per_second,
        "Higher is better; where the line is flat, a larger batch only adds latency.",
    ),
)
