"""A measurement as Markdown: what one would paste into a README, with everything that it takes to believe it."""

import re
import shlex
from collections.abc import Callable, Iterator

from capsedge.measure.bench.formats import words
from capsedge.measure.bench.judged import JUDGED_BY
from capsedge.measure.bench.report import BenchReport, Case, Group


def markdown(report: BenchReport) -> str:
    """Write a report: a table a group, the doubts, the machine and the command."""
    lines = [f"### Latency, measured by capsedge {escaped(report.capsedge)} on {escaped(report.created)}", ""]
    for group in report.groups:
        lines += [*_group(group), ""]
    if doubts := words.doubts(report):
        lines += ["> **Read with care:**", *(f"> - {escaped(doubt)}" for doubt in doubts), ""]
    for line in words.slow_int8(report):
        lines += [f"{escaped(line)}.", ""]
    lines += [
        f"Machine: {escaped(words.hardware(report.machine))}.",
        f"With {escaped(words.versions(report))}.",
        "",
        f"    {words.printable(shlex.join(report.command))}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    r"""Text that means itself in a cell: `|` ends a cell, and a name may hold anything.

    Underscores inside of words mean themselves already.
    """
    marked = re.sub(r"([\\`*\[\]|~])", r"\\\1", words.printable(text))
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def _group(group: Group) -> Iterator[str]:
    quick = " **Quick look.**" if group.quick else ""
    yield f"{escaped(words.title(group))}; {words.counted(group)}.{quick}"
    yield ""
    columns = _columns(group)
    yield f"| {' | '.join(columns)} |"
    yield f"|{'|'.join([' --- ', *([' ---: '] * (len(columns) - 1))])}|"
    for case in group.cases:
        yield f"| {' | '.join(escaped(cell(case)) for cell in columns.values())} |"


def _columns(group: Group) -> dict[str, Callable[[Case], str]]:
    """Headers, and how to fill them; columns that would be empty are left out."""
    cases, judge = group.cases, JUDGED_BY[group.scenario]
    columns: dict[str, Callable[[Case], str]] = {"case": lambda case: case.label}
    if len({case.provider for case in cases}) > 1:
        columns["provider"] = lambda case: case.provider
    for percent in words.percents(cases):
        name = f"p{percent:g} ms"
        columns[f"**{name}**" if percent == judge else name] = _percentile_cell(percent)
    columns["mean ms"] = lambda case: words.number(case.mean_ms)
    columns["max ms"] = lambda case: words.number(case.max_ms)
    columns["**images/s**" if judge is None else "images/s"] = lambda case: words.number(case.images_per_second)
    if len(cases) > 1:
        columns["x first (95 % interval)"] = lambda case: words.ratio(case.ratio)
    if any(case.energy_mj != "unavailable" for case in cases):
        columns["mJ/image"] = lambda case: words.maybe(case.energy_mj)
    if any(case.error is not None for case in cases):
        columns["error %"] = words.error
    return columns


def _percentile_cell(percent: float) -> Callable[[Case], str]:
    return lambda case: words.maybe(words.percentile_ms(case, percent))
