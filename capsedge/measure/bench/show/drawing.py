"""What the plots share: colours that follow the page's, axes of plain numbers, and SVG that stands inside of HTML."""

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

# Okabe and Ito's colours, which people of any colour vision tell apart. After these they come again with a dash.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("", "5 2", "2 2", "8 2 2 2")

# Colours that stand for others: the page's own, which differ in light and dark.
INK, SOFT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
_OF_THE_PAGE = {INK: "var(--ink)", SOFT: "var(--soft)", GRID: "var(--grid)", PAPER: "var(--card)"}

# So wide that letters of a figure have their true size on a phone; wider screens enlarge it, or show two in a row.
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
    """How a case is drawn, in every plot: a colour, and a dash (SVG's `stroke-dasharray`) where colours repeat."""

    colour: str
    dash: str

    @property
    def line(self) -> dict[str, Any]:
        """For matplotlib's lines."""
        lengths = [float(each) for each in self.dash.split()]
        return {"color": self.colour, "linestyle": (0, [each / 1.6 for each in lengths]) if lengths else "-"}


class Plot(NamedTuple):
    """A plot that is drawn.

    Attributes:
        title: What it shows.
        svg: The `<svg>` element, with title and description for those who do not see it.
        note: How to read it, in plain text.
        legend: The labels of the cases that need one.
        numbered: Whether the plot shows a number for each label of the legend, from 1 on.
    """

    title: str
    svg: str
    note: str
    legend: tuple[str, ...] = ()
    numbered: bool = False


def looks(report: BenchReport) -> dict[str, Look]:
    """A look for each label, the same in all groups."""
    labels = dict.fromkeys(case.label for group in report.groups for case in group.cases)
    count = len(_COLOURS)
    return {
        label: Look(_COLOURS[index % count], _DASHES[index // count % len(_DASHES)])
        for index, label in enumerate(labels)
    }


@contextmanager
def figure(height_inches: float) -> "Iterator[Figure]":
    """An empty figure in the style of all; it knows no display and no global state."""
    require("matplotlib", extra="plots")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE), warnings.catch_warnings():
        # The browser has fonts for the letters that matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")


def svg(drawn: "Figure", *, name: str, title: str, description: str) -> str:
    """Make a figure an `<svg>` element that may stand beside others in one page.

    Args:
        drawn: The figure.
        name: Unique in the page; the element's ids start with it.
        title: What it is.
        description: What is to be seen in it, for screen readers.
    """
    buffer = io.StringIO()
    drawn.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :].strip()
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = _own_ids(_rounded(body), name)
    for stand_in, colour in _OF_THE_PAGE.items():
        body = body.replace(stand_in, colour)
    width, height = (72 * inches for inches in drawn.get_size_inches())
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{name}-title {name}-desc" '
        f'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(description)}</desc>{body}'
    )


def samples(case: Case) -> NDArray[np.float64]:
    """All timed iterations of a case, in the order of the rounds."""
    return np.array([sample for turn in case.samples_ms for sample in turn], dtype=np.float64)


def limits(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """The smallest and the largest of all."""
    return min(float(each.min()) for each in values), max(float(each.max()) for each in values)


def spread_out(low: float, high: float) -> bool:
    """Whether figures from `low` to `high` want a logarithmic axis."""
    return low > 0 and high / low > 3


def bins(low: float, high: float, count: int) -> NDArray[np.float64]:
    """Edges of bins that hold everything from `low` to `high`, as the axis is."""
    low, high = _apart(low, high)
    spaced = np.geomspace if spread_out(low, high) else np.linspace
    edges = spaced(low, high, count + 1)
    edges[0], edges[-1] = low, high
    return edges


def plain_numbers(axes: "Axes", which: str, low: float, high: float, *, ticks: int = 9) -> None:
    """Let an axis show all of `low` to `high` in plain numbers, logarithmic where that is wide."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

    low, high = _apart(low, high)
    axis: Axis = getattr(axes, f"{which}axis")
    if spread_out(low, high):
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


def _apart(low: float, high: float) -> tuple[float, float]:
    """An axis has a length, also where all figures are one."""
    return (low * 0.95, high * 1.05 + 1e-9) if high <= low * 1.001 else (low, high)


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`: as many as there is room for of 1, 2, 5, or of the tens."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    closest = (high / low) ** (0.7 / most)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        found = [step * 10.0**decade for decade in decades for step in steps]
        found = [each for each in found if low * 0.97 <= each <= high * 1.03]
        if len(found) <= most and all(after > before * closest for before, after in pairwise(found)):
            return found
    return found[:: -(-len(found) // most)]


def _rounded(body: str) -> str:
    """Hundredths of a point are enough for coordinates: the file is half as long."""

    def shorter(found: re.Match[str]) -> str:
        numbers = re.sub(r"-?\d+\.\d+", lambda each: f"{float(each[0]):.2f}".rstrip("0").rstrip("."), found[2])
        return f' {found[1]}="{" ".join(numbers.split())}"'

    return re.sub(r'\s(d|x|y)="([^"]*)"', shorter, body)


def _own_ids(body: str, name: str) -> str:
    """Keep the ids that something refers to, under this figure's name: a page must not have one twice."""
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', body))
    body = re.sub(r'\sid="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", body)
    return re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
