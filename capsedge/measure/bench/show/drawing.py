"""Shared code of the plots: colours of the page, axes with plain numbers, and SVG for embedding in HTML."""

import html
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import require
from capsedge.measure.bench.report import BenchReport, Case

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

# Colours of Okabe and Ito, distinguishable with any colour vision. After the last, they repeat with a dash.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("", "5 2", "2 2", "8 2 2 2")

# Placeholders for the CSS colours of the page, which differ in light and dark mode.
INK, SOFT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
_PAGE_COLOURS = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--grid)", PAPER: "var(--card)"}

# At this width the text of a figure has its nominal size on a phone; wider screens enlarge it or show two in a row.
WIDTH_INCHES = 4.8
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "capsedge",
    "text.parse_math": False,
    "path.simplify": False,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.6,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


class Look(NamedTuple):
    """Line style of a case in every plot: a colour, and a dash (`stroke-dasharray` of SVG) if colours repeat."""

    colour: str
    dash: str

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of a matplotlib line."""
        lengths = [float(each) for each in self.dash.split()]
        return {"color": self.colour, "linestyle": (0, [each / 1.6 for each in lengths]) if lengths else "-"}


class Plot(NamedTuple):
    """A finished plot.

    Attributes:
        title: Heading.
        svg: The `<svg>` element, with title and description for screen readers.
        note: How to read the plot, in plain text.
        legend: Labels of the cases in the legend.
        numbered: Whether the plot shows a number for each label of the legend, from 1 on.
    """

    title: str
    svg: str
    note: str
    legend: tuple[str, ...] = ()
    numbered: bool = False


def looks(report: BenchReport) -> dict[str, Look]:
    """A line style for each label, the same in all groups."""
    labels = dict.fromkeys(case.label for group in report.groups for case in group.cases)
    count = len(_COLOURS)
    return {
        label: Look(_COLOURS[index % count], _DASHES[index // count % len(_DASHES)])
        for index, label in enumerate(labels)
    }


@contextmanager
def figure(height_inches: float) -> "Iterator[Figure]":
    """An empty figure in the common style; it uses no display and no global state."""
    require("matplotlib", extra="plots")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE), warnings.catch_warnings():
        # The browser has fonts for glyphs that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def svg(drawn: "Figure", *, name: str, title: str, description: str) -> str:
    """Convert a figure to an `<svg>` element for a page with several of them.

    Args:
        drawn: The figure.
        name: Prefix of all ids in the element, unique in the page.
        title: Title, for screen readers.
        description: The plotted values in words, for screen readers.
    """
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _with_prefixed_ids(_rounded(body), name)
    for placeholder, colour in _PAGE_COLOURS.items():
        body = body.replace(placeholder, colour)
    width, height = (72 * inches for inches in drawn.get_size_inches())
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>{body}'
    )


def samples(case: Case) -> NDArray[np.float64]:
    """All timed iterations of a case in milliseconds, [iterations], in the order of the rounds."""
    return np.array([sample for turn in case.samples_ms for sample in turn], dtype=np.float64)


def limits(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Smallest and largest of all values of several arrays, each [values]."""
    return min(float(each.min()) for each in values), max(float(each.max()) for each in values)


def needs_log_axis(low: float, high: float) -> bool:
    """Whether values from `low` to `high` get a logarithmic axis."""
    return low > 0 and high / low > 3


def bins(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Edges of bins that cover `low` to `high`, [count + 1], with the spacing of the axis (linear or logarithmic)."""
    low, high = _widened(low, high)
    spaced = np.geomspace if needs_log_axis(low, high) else np.linspace
    edges = spaced(low, high, count + 1)
    edges[0], edges[-1] = low, high
    return edges


def plain_numbers(axes: "Axes", which: str, low: float, high: float, *, ticks: int = 9) -> None:
    """Scale an axis to `low` to `high`, logarithmic for a wide range, with plain numbers as tick labels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = _widened(low, high)
    axis: Axis = getattr(axes, f"{which}axis")
    if needs_log_axis(low, high):
        getattr(axes, f"set_{which}scale")("log")
        axis.set_major_locator(FixedLocator(_ticks(low, high, ticks)))
        axis.set_minor_locator(NullLocator())
        pad = (high / low) ** 0.03
        getattr(axes, f"set_{which}lim")(low / pad, high * pad)
    else:
        axis.set_major_locator(MaxNLocator(min(ticks, 6)))
        pad = (high - low) * 0.04
        getattr(axes, f"set_{which}lim")(max(low - pad, 0), high + pad)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _widened(low: float, high: float) -> tuple[float, float]:
    """A range of positive length, also if all values are equal."""
    return (low * 0.95, high * 1.05 + 1e-9) if high <= low * 1.001 else (low, high)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high` as ticks of a logarithmic axis: the densest series with at most `most`."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    closest = (high / low) ** (0.7 / most)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [each for each in found if low * 0.97 <= each <= high * 1.03]
        if len(found) <= most and all(after > before * closest for before, after in pairwise(found)):
            return found
    return found[:: -(-len(found) // most)]


def _rounded(body: str) -> str:
    """Round coordinates to hundredths of a point, which halves the file size."""

    def shorter(found: re.Match[str]) -> str:
        numbers = re.sub(r"-?\d+\.\d+", lambda each: f"{float(each[0]):.2f}".rstrip("0").rstrip("."), found[2])
        return f' {found[1]}="{" ".join(numbers.split())}"'

    return re.sub(r'\s(d|x|y)="([^"]*)"', shorter, body)


def _with_prefixed_ids(body: str, name: str) -> str:
    """Prefix the ids that are referenced and remove the others: ids must be unique in the page."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r'\sid="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
