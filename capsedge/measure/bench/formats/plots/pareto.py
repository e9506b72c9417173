"""Error against latency: which models nobody beats in both."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import INK, PAPER, SOFT, Look, Plot
from capsedge.measure.bench.formats.words import number, percentile_ms, shortened
from capsedge.measure.bench.judged import JUDGED_BY
from capsedge.measure.bench.report import Case, Group

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FONT_SIZE = 8.5
_MARKER = 6.5


class Point(NamedTuple):
    """A case that has an error."""

    case: Case
    latency_ms: float
    error_percent: float


class _Box(NamedTuple):
    """A rectangle of the figure, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "_Box") -> float:
        """The area that two share."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0) * max(height, 0)

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.top - self.bottom)


def has_errors(group: Group) -> bool:
    """Whether at least two cases can be compared by their errors."""
    return sum(case.error is not None for case in group.cases) > 1


def pareto(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Draw the test error of each case over its latency, and the line of those that nobody beats in both."""
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
        for each in figures:
            colour = looks[each.case.label].colour
            axes.plot(
                each.latency_ms,
                each.error_percent,
                "o",
                markersize=_MARKER,
                markeredgecolor=colour,
                markerfacecolor=colour if each.case.error_on == "test" else PAPER,
                markeredgewidth=1.6,
            )
        drawing.plain_numbers(axes, "x", low, high)
        axes.margins(y=0.18)
        axes.grid()
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel(f"{what}, ms")
        axes.set_ylabel("error, %")
        _label(figure, axes, figures, best)
        told = "; ".join(
            f"{each.case.label}: {number(each.latency_ms)} ms, {each.error_percent:.2f} %"
            f"{' (on the front)' if each in best else ''}"
            for each in figures
        )
        drawn = drawing.svg(figure, name=name, title="Error against latency", description=told)
    hollow = any(each.case.error_on == "validation" for each in figures)
    left_out = len(group.cases) - len(figures)
    return Plot(
        "Error against latency",
        drawn,
        "Lower left is better. Those in a ring are beaten by no other in both; the line joins them."
        + (" Hollow: the error is one on validation images, for want of a test score." if hollow else "")
        + (f" {left_out} without a known error left out." if left_out else ""),
    )


def points(group: Group) -> tuple[list[Point], str]:
    """The cases that have an error, with the latency that the scenario judges by; the median where one lacks it."""
    cases = [case for case in group.cases if case.error is not None]
    percent = JUDGED_BY[group.scenario] or 50
    if any(percentile_ms(case, percent) is None for case in cases):
        percent = 50
    figures = [
        Point(case, case.mean_ms if value is None else value, 100 * (case.error or 0.0))
        for case in cases
        for value in [percentile_ms(case, percent)]
    ]
    return figures, f"p{percent:g} of a query"


def front(figures: Sequence[Point]) -> list[Point]:
    """Those that no other beats: none is as fast and as good, and better in one of the two. The fastest first."""
    kept: list[Point] = []
    for each in sorted(figures, key=lambda point: (point.latency_ms, point.error_percent)):
        if not kept or each.error_percent < kept[-1].error_percent:
            kept.append(each)
    return kept


def _label(figure: "Figure", axes: "Axes", figures: Sequence[Point], best: Sequence[Point]) -> None:
    """Name each point where its name covers least: right, left, above or below."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # names are placed for the axes as they are now
    to_points = 72 / figure.dpi
    places = [axes.transData.transform((each.latency_ms, each.error_percent)) * to_points for each in figures]
    window = axes.get_window_extent()
    frame = _Box(*(float(edge) * to_points for edge in (window.x0, window.y0, window.x1, window.y1)))
    taken = [_Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in places]
    corners = [place for each, place in zip(figures, places, strict=True) if each in best]
    taken += _steps(sorted((float(x), float(y)) for x, y in corners))
    for each, (x, y) in zip(figures, places, strict=True):
        text = shortened(each.case.label, 34)
        box, offset, align = min(_candidates(x, y, text), key=lambda found: _covered(found[0], taken, frame))
        taken.append(box)
        axes.annotate(
            text,
            (each.latency_ms, each.error_percent),
            offset,
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize=_FONT_SIZE,
            color=INK if each in best else SOFT,
        )


def _steps(corners: Sequence[tuple[float, float]]) -> list[_Box]:
    """The line that joins the front, as thin boxes: along from each point, then down to the next."""
    return [
        box
        for (x, y), (next_x, next_y) in pairwise(corners)
        for box in (_Box(x, y - 1, next_x, y + 1), _Box(next_x - 1, next_y, next_x + 1, y))
    ]


def _candidates(x: float, y: float, text: str) -> list[tuple[_Box, tuple[float, float], str]]:
    width, height = 0.56 * _FONT_SIZE * len(text), 1.25 * _FONT_SIZE
    found = []
    for align, share in (("left", 0.0), ("right", 1.0), ("center", 0.5)):
        for up in (0, 11, -11, 21, -21, 31, -31):
            if up == 0 and align == "center":
                continue
            aside = {"left": 7.0, "right": -7.0, "center": 0.0}[align] if abs(up) < 11 else 0.0
            left, bottom = x + aside - share * width, y + up - height / 2
            found.append((_Box(left, bottom, left + width, bottom + height), (aside, float(up)), align))
    return found


def _covered(box: _Box, taken: Sequence[_Box], frame: _Box) -> float:
    """What a name would cover of others, and how much of it would be outside; far away costs a little."""
    return sum(box.overlap(other) for other in taken) + 3 * (box.area - box.overlap(frame))
