"""A profile as a picture: the layers under this machine's roofline, and the time of each stage."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from capsedge.errors import WrongUse, require
from capsedge.files import replacing
from capsedge.measure.bench.show.text import hardware
from capsedge.measure.profile.report import LayerTime, Profile
from capsedge.measure.profile.roofline import Roofs
from capsedge.measure.profile.stages import STAGES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".svg", ".png", ".pdf")
PLOT_MARK = "capsedge profile --plot"
_NAMED = 4  # largest number of labelled points: those that take the most time
_LEAST_NAMED = 0.01  # smallest share of the time of a labelled point
_BARS = 9

# Okabe and Ito's colours, distinguishable with any colour vision; a stage has the same colour in every plot.
_COLOURS = (
    *("#999999", "#56B4E9", "#0072B2", "#E69F00", "#F0E442", "#D55E00"),
    *("#CC79A7", "#009E73", "#000000", "#bbbbbb", "#666666", "#444444"),
)
_GREY = "#777777"


def check_plot(file: Path) -> None:
    """Refuse an unsupported file format before anything is measured.

    Raises:
        WrongUse: The suffix is not that of a supported format.
    """
    if file.suffix.lower() not in FORMATS:
        raise WrongUse(f"--plot: expected a name that ends in {', '.join(FORMATS)}, got '{file}'")


def check_drawing() -> None:
    """Refuse to draw where matplotlib is missing.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    require("matplotlib", extra="plots")


def save_plot(profile: Profile, file: Path) -> None:
    """Draw a profile.

    Raises:
        WrongUse: The suffix is not that of a supported format.
        MissingExtra: matplotlib is not installed.
    """
    check_plot(file)
    check_drawing()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.fonttype": "none"}):
        figure = Figure(figsize=(11, 4.6), layout="constrained")
        if profile.roofs is None:
            _draw_shares(figure.subplots(), profile)
        else:
            left, right = figure.subplots(1, 2, width_ratios=(3, 2))
            _draw_roofline(left, profile.roofs, profile.layers)
            _draw_shares(right, profile)
        figure.suptitle(
            f"{profile.model}: {profile.whole.plain_us / 1e3:.3g} ms for a batch of {profile.batch}, "
            f"{profile.provider.replace('ExecutionProvider', '')}\n{hardware(profile.machine)}",
            fontsize=10,
        )
        with replacing(file) as partial:
            figure.savefig(partial, format=file.suffix[1:], dpi=150, metadata=_said(file))


def _said(file: Path) -> dict[str, str]:
    """The note in the file by which a later plot may replace it."""
    return {"Software" if file.suffix.lower() == ".png" else "Creator": PLOT_MARK}


def _draw_roofline(axes: "Axes", roofs: Roofs, layers: Sequence[LayerTime]) -> None:
    points = [layer for layer in layers if layer.gflops and layer.intensity]
    intensities = [layer.intensity or 1.0 for layer in points] or [1.0]
    rates = [layer.gflops or 1.0 for layer in points] or [1.0]
    highest = max([*roofs.gflops.values(), *rates])
    low, high = min(intensities) / 3, max(*intensities, 100.0) * 10
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(min(rates) / 3, highest * 3))
    axes.set(xlabel="operations per byte", ylabel="10⁹ operations per second")
    _draw_roofs(axes, roofs, low, high, highest)
    for stage in dict.fromkeys(layer.stage for layer in points):
        its = [layer for layer in points if layer.stage == stage]
        axes.scatter(
            [layer.intensity or 1.0 for layer in its],
            [layer.gflops or 1.0 for layer in its],
            s=[20 + 380 * layer.share for layer in its],
            color=_colour(stage),
            edgecolor="white",
            linewidth=0.6,
            zorder=5,
        )
    named = sorted(points, key=lambda layer: -layer.share)[:_NAMED]
    for layer in named:
        if layer.share >= _LEAST_NAMED:
            _annotate(axes, layer, [other for other in named if other is not layer])


def _annotate(axes: "Axes", layer: LayerTime, others: Sequence[LayerTime]) -> None:
    """Label a point below it, on the side away from a neighbour."""
    place = (layer.intensity or 1.0, layer.gflops or 1.0)
    beside = [
        other.intensity or 1.0
        for other in others
        if 1 / 8 < (other.intensity or 1.0) / place[0] < 8 and 1 / 3 < (other.gflops or 1.0) / place[1] < 3
    ]
    name = layer.stage if layer.layer or layer.stage == layer.op else f"{layer.stage}: {layer.op}"
    axes.annotate(
        f"{name}\n{100 * (layer.of_roof or 0):.0f} % of its roof",
        place,
        xytext=(0, -13),
        textcoords="offset points",
        ha="center" if not beside else "right" if place[0] < beside[0] else "left",
        va="top",
        fontsize=7.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        zorder=4,
    )


def _draw_roofs(axes: "Axes", roofs: Roofs, low: float, high: float, highest: float) -> None:
    """A horizontal line for each type, starting at the slope of the fastest level; a slope for each memory level."""
    steepest = max((level.gb_per_s for level in roofs.levels), default=1.0)
    for kind, rate in roofs.gflops.items():
        axes.plot([rate / steepest, high], [rate, rate], color=_GREY, linewidth=1.2, zorder=1)
        axes.text(high, rate * 1.06, f"{kind}: {rate:,.0f}", ha="right", va="bottom", fontsize=8, color=_GREY)
    for level, style in zip(roofs.levels, ("-", "--", ":"), strict=False):
        end = (max(roofs.gflops.values(), default=highest)) / level.gb_per_s
        label = f"{level.name}: {level.gb_per_s:,.0f} GB/s"
        ends = ([low, end], [low * level.gb_per_s, end * level.gb_per_s])
        axes.plot(*ends, color=_GREY, linewidth=1.2, linestyle=style, zorder=1, label=label)
    axes.legend(loc="lower right", fontsize=8, frameon=False)


def _draw_shares(axes: "Axes", profile: Profile) -> None:
    """A bar for each stage; the dark part is its time at the roof, the pale part the possible gain."""
    stages = sorted(profile.stages, key=lambda stage: stage.time_us)[-_BARS:]
    names = [stage.stage for stage in stages]
    axes.barh(names, [stage.time_us for stage in stages], color=[_colour(name) for name in names], alpha=0.35)
    at_roof = [stage.time_us * min(stage.of_roof or 0.0, 1.0) for stage in stages]
    axes.barh(names, at_roof, color=[_colour(name) for name in names])
    longest = max((stage.time_us for stage in stages), default=1.0)
    for place, stage in enumerate(stages):
        axes.text(
            stage.time_us + 0.01 * longest, place, f"{100 * stage.share:.1f} %", va="center", fontsize=8, color=_GREY
        )
    axes.set(xlabel="microseconds per run" + (" (dark: at the roof)" if profile.roofs else ""))
    axes.set_xlim(0, longest * 1.15)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _colour(stage: str) -> str:
    known: dict[str, str] = dict(zip(STAGES, _COLOURS, strict=True))
    return known.get(stage, _COLOURS[sum(map(ord, stage)) % len(_COLOURS)])
