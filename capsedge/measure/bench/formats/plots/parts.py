"""Where the time of a query goes: decoding, copies, compute."""

from capsedge.measure.bench.formats.plots import drawing
from capsedge.measure.bench.formats.plots.drawing import SOFT, Look, Plot
from capsedge.measure.bench.formats.words import maybe, shortened
from capsedge.measure.bench.report import Case, Group

# Name, and how dark a part is in its case's colour.
_PARTS = {"decode": 0.35, "copy in": 0.6, "compute": 1.0, "copy out": 0.75}


def has_parts(group: Group) -> bool:
    """Whether some case of the group has parts that can be told apart."""
    return any(len(_there(case)) > 1 for case in group.cases)


def parts(group: Group, looks: dict[str, Look], name: str) -> Plot:
    """Draw the medians of each case's parts, one after the other."""
    cases = [case for case in group.cases if _there(case)]
    with drawing.figure(0.5 * len(cases) + 0.75) as figure:
        axes = figure.subplots()
        for place, case in enumerate(cases):
            start = 0.0
            for part, value in _there(case).items():
                axes.barh(place, value, left=start, height=0.36, color=looks[case.label].colour, alpha=_PARTS[part])
                start += value
            axes.text(0, place - 0.28, shortened(case.label, 62), va="bottom", ha="left")
        axes.set_ylim(len(cases) - 0.6, -0.75)
        axes.set_yticks([])
        axes.set_xlim(0, None)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=2, color=SOFT)
        axes.set_xlabel("median of a query, ms")
        told = "; ".join(f"{case.label}: {_told(case)}" for case in cases)
        drawn = drawing.svg(figure, name=name, title="Where the time goes", description=told)
    return Plot(
        "Where the time goes",
        drawn,
        "From left to right, where there are such: decoding (palest), copy in, compute (full colour), copy out. "
        "They were measured apart from the timed runs; the figures are under 'How each case ran'.",
    )


def _there(case: Case) -> dict[str, float]:
    values = {part: getattr(case.parts, f"{part.replace(' ', '_')}_ms") for part in _PARTS}
    return {part: value for part, value in values.items() if value is not None}


def _told(case: Case) -> str:
    return ", ".join(f"{part} {maybe(value)} ms" for part, value in _there(case).items())
