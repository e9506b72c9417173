"""A measurement as one HTML page that needs nothing else: no network, no other file."""

import hashlib
import shlex
from base64 import b64encode
from collections.abc import Iterator
from html import escape

import msgspec

from capsedge.measure.bench.formats import words
from capsedge.measure.bench.formats.look import SCRIPT, STYLE
from capsedge.measure.bench.formats.marks import broken, chip, text
from capsedge.measure.bench.formats.plots.batch_sweep import batch_sweep, has_sweep
from capsedge.measure.bench.formats.plots.drawing import Look, Plot, looks
from capsedge.measure.bench.formats.plots.ecdf import ecdf
from capsedge.measure.bench.formats.plots.histogram import histogram
from capsedge.measure.bench.formats.plots.over_time import over_time
from capsedge.measure.bench.formats.plots.pareto import has_errors, pareto
from capsedge.measure.bench.formats.plots.parts import has_parts, parts
from capsedge.measure.bench.formats.tables import cases_table, how_table, machine_table
from capsedge.measure.bench.judged import JUDGED_BY
from capsedge.measure.bench.report import BenchReport, Group

# Groups of a report that are open when the page is; of a longer sweep one sees the first, and the others by a click.
_OPEN_GROUPS = 2

_SMALL_PRINT = (
    "Scenarios are in the style of MLPerf Inference, and no result of it. Small print under a percentile is what the "
    "true one is below with 99 % confidence; under a ratio, its 95 % interval. Nothing is clipped; every sample is "
    "in the JSON file of this report."
)


def page(report: BenchReport) -> str:
    """Write a report as HTML.

    Raises:
        MissingExtra: What draws the plots is not installed.
    """
    chosen = looks(report)
    heading = "capsedge bench" + (": quick look" if any(group.quick for group in report.groups) else "")
    body = "\n".join(_body(report, chosen))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(heading)}, {escape(report.created)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"{body}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _policy() -> str:
    """Nothing is fetched, and no script runs but the page's own, whatever a file is called."""
    own = b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{own}'"


def _body(report: BenchReport, chosen: dict[str, Look]) -> Iterator[str]:
    yield f"<header><h1>capsedge bench{_badge(any(group.quick for group in report.groups))}</h1>"
    yield f'<p class="soft">{escape(_day(report.created))} · {escape(words.hardware(report.machine))}</p>'
    yield f"<p><code>{text(shlex.join(report.command))}</code></p></header>"
    yield from (f'<p class="soft">{text(line)}</p>' for line in words.slow_int8(report))
    yield from _doubts(words.doubts(report))
    if has_sweep(report):
        drawn = [_figure(plot, chosen) for plot in batch_sweep(report, chosen)]
        yield f'<div class="plots">{"".join(drawn)}</div>'
    for index, group in enumerate(report.groups):
        yield from _group(group, chosen, f"g{index + 1}", shut=index > 0 and len(report.groups) > _OPEN_GROUPS)
    yield f"<h2>Machine</h2>{machine_table(report)}"
    yield f'<p class="soft">{_SMALL_PRINT}</p>'


def _doubts(doubts: list[str]) -> Iterator[str]:
    if doubts:
        items = "".join(f"<li>{text(doubt)}</li>" for doubt in doubts)
        yield f'<section class="doubts"><h2>Read these figures with care</h2><ul>{items}</ul></section>'


def _group(group: Group, chosen: dict[str, Look], name: str, *, shut: bool) -> Iterator[str]:
    heading = f"<h2>{text(words.title(group))}{_badge(group.quick)}</h2>"
    yield f"<details{'' if shut else ' open'}><summary>{heading}</summary>"
    yield f'<p class="soft">{words.counted(group)}, all side by side. {_judged(group)}</p>'
    yield cases_table(group, chosen)
    yield how_table(group)
    drawn = [_figure(plot, chosen) for plot in _plots(group, chosen, name)]
    yield f'<div class="plots">{"".join(drawn)}</div></details>'


def _plots(group: Group, chosen: dict[str, Look], name: str) -> Iterator[Plot]:
    sampled = msgspec.structs.replace(group, cases=tuple(case for case in group.cases if any(case.samples_ms)))
    if sampled.cases:
        yield histogram(sampled, chosen, f"{name}-histogram")
        yield ecdf(sampled, chosen, f"{name}-ecdf")
        yield over_time(sampled, chosen, f"{name}-time")
    if has_errors(group):
        yield pareto(group, chosen, f"{name}-pareto")
    if has_parts(group):
        yield parts(group, chosen, f"{name}-parts")


def _figure(plot: Plot, chosen: dict[str, Look]) -> str:
    lines = "".join(f"<li>{chip(chosen[label])}<span>{broken(label)}</span></li>" for label in plot.legend)
    legend = f'<ul class="legend">{lines}</ul>' if lines else ""
    return (
        f'<figure class="card"><h3>{escape(plot.title)}</h3>{plot.svg}{legend}'
        f"<figcaption>{text(plot.note)}</figcaption></figure>"
    )


def _judged(group: Group) -> str:
    percent = JUDGED_BY[group.scenario]
    return f"Judged by {'images/s' if percent is None else f'p{percent:g}'}."


def _badge(quick: bool) -> str:
    return ' <span class="badge">quick look</span>' if quick else ""


def _day(created: str) -> str:
    return created.replace("T", " ", 1).replace("+00:00", " UTC").replace("Z", " UTC")
