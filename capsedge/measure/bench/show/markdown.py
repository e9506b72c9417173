"""A report as Markdown, for a README: the results, with warnings, machine and command."""

import re
import shlex
from collections.abc import Iterator

from capsedge.measure.bench.report import BenchReport, Case, Group
from capsedge.measure.bench.show import text
from capsedge.measure.bench.show.columns import LABEL, PROVIDER, Column, figures
from capsedge.outside import one_line


def markdown(report: BenchReport) -> str:
    """Format a report: a table per group, the warnings, the machine and the command."""
    lines = [f"### Latency, measured by capsedge {escaped(report.capsedge)} on {escaped(report.created)}", ""]
    for group in report.groups:
        lines += [*_group(group), ""]
    if warnings := text.warnings(report):
        lines += ["> **Read with care:**", *(f"> - {escaped(warning)}" for warning in warnings), ""]
    for line in text.slow_int8(report):
        lines += [f"{escaped(line)}.", ""]
    if any(len(group.cases) > 1 for group in report.groups):
        lines += ["x first: latency divided by that of the first case, with its 95 % interval.", ""]
    lines += [
        f"Machine: {escaped(text.hardware(report.machine))}.",
        f"With {escaped(text.versions(report))}.",
        "",
        f"    {one_line(shlex.join(report.command))}",
    ]
    return "\n".join(lines) + "\n"


def escaped(given: str) -> str:
    r"""Escape text for a table cell: a name may contain any character, and `|` would end the cell.

    Underscores inside words need no escape.
    """
    marked = re.sub(r"([\\`*\[\]|~])", r"\\\1", one_line(given))
    return marked.replace("&", "&amp;").replace("<", "&lt;")


def _group(group: Group) -> Iterator[str]:
    quick = " **Quick measurement.**" if group.quick else ""
    yield f"{escaped(text.title(group))}; {text.counted(group)}.{quick}"
    yield ""
    several = len({case.provider for case in group.cases}) > 1
    columns = [LABEL, *([PROVIDER] if several else []), *figures(group)]
    yield f"| {' | '.join(f'**{each.name}**' if each.metric else each.name for each in columns)} |"
    yield f"|{'|'.join([' --- ', *([' ---: '] * (len(columns) - 1))])}|"
    for case in group.cases:
        yield f"| {' | '.join(escaped(_cell(column, case)) for column in columns)} |"


def _cell(column: Column, case: Case) -> str:
    detail = "" if column.optional else column.detail(case)
    return f"{column.text(case)} ({detail})" if detail else column.text(case)
