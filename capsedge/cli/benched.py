"""How a measurement looks on a terminal: a table of the latencies, where the time goes, and what to doubt."""

import re
from collections.abc import Sequence
from posixpath import commonpath
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from capsedge.cli.console import out, say
from capsedge.measure.bench.formats import words

if TYPE_CHECKING:
    from capsedge.measure.bench.baseline import Change, Comparison
    from capsedge.measure.bench.report import BenchReport, Case, Group

_PERCENTILES = (50, 90, 99)
_WIDE = 72  # columns of a terminal; on a narrower one p99 is left out, and the interval of a ratio folded
_PARTS = ("load_ms", "first_run_ms", "decode_ms", "copy_in_ms", "compute_ms", "copy_out_ms")


def show_report(report: "BenchReport") -> None:
    """Print every group of a report, and the machine that it was measured on."""
    for group in report.groups:
        if len(report.groups) > 1:
            out.print(f"batch {group.batch}")
        out.print(_latencies(group))
        if any(getattr(case.parts, name) is not None for case in group.cases for name in _PARTS):
            out.print(_parts(group))
    say(f"{words.hardware(report.machine)}; {words.versions(report)}")
    for group in report.groups:
        threads = " or ".join(dict.fromkeys(str(case.settings.threads or "all") for case in group.cases))
        say(f"{words.title(group)}: {words.counted(group)}, {threads} {'thread' if threads == '1' else 'threads'}")
    for note in (*words.slow_int8(report), *_notes(report)):
        say(f"note: {note}")


def show_comparison(comparison: "Comparison") -> None:
    """Print how each case compares with the baseline."""
    table = _table("case", ("x baseline", "verdict"))
    for row in comparison.rows:
        table.add_row(Text(row.label), _with_interval(row.ratio, row.low, row.high), _verdict(row))
    out.print(table)
    for remark in comparison.remarks:
        say(f"note: {remark}")


def slower_than_first(report: "BenchReport", most: float) -> list[str]:
    """The cases whose ratio to the first of their group is beyond `most`, and surely above 1."""
    return [
        f"{case.label} ({case.ratio.value:.2f} x)"
        for group in report.groups
        for case in group.cases
        if case.ratio and case.ratio.value > most and (case.ratio.low is None or case.ratio.low > 1)
    ]


def _verdict(row: "Change") -> str:
    """Without an interval nothing can be called slower, and nothing good either."""
    return "slower" if row.regressed else "too few rounds" if row.low is None else "good"


def _latencies(group: "Group") -> Table:
    """A row a case; below each percentile what the true one is at most, with 99 % confidence."""
    cases = group.cases
    percents = _PERCENTILES if out.width >= _WIDE else _PERCENTILES[:-1]
    columns = {f"p{percent} ms": [_percentile(case, percent) for case in cases] for percent in percents}
    if out.width < _WIDE:  # what no case has is told below the table
        columns = {name: cells for name, cells in columns.items() if {*cells} != {words.maybe(None)}}
    if not group.interval_ms:  # the camera sets the pace then
        columns["images/s"] = [words.number(case.images_per_second) for case in cases]
    if len(cases) > 1:
        columns["x first"] = [_ratio(case) for case in cases]
    places = [case.provider.replace("ExecutionProvider", "") for case in cases]
    errors = [words.error(case) for case in cases]
    columns = ({"on": places} if len(set(places)) > 1 else {}) | columns
    columns |= {"error %": errors} if len(set(errors)) > 1 else {}
    return _filled("model", group, columns)


def _parts(group: "Group") -> Table:
    """Where the time goes: only the parts that some case has."""
    cases = group.cases
    named = {name: [getattr(case.parts, name) for case in cases] for name in _PARTS}
    columns = {
        name.removesuffix("_ms").replace("_", " "): [words.maybe(value) for value in values]
        for name, values in named.items()
        if any(value is not None for value in values)
    }
    if any(case.energy_mj != "unavailable" for case in cases):
        columns["mJ an image"] = [words.maybe(case.energy_mj) for case in cases]
    return _filled("where the time goes, ms", group, columns)


def _filled(first: str, group: "Group", columns: dict[str, list[str]]) -> Table:
    table = _table(first, list(columns))
    for label, *cells in zip(_labels(group), *columns.values(), strict=True):
        table.add_row(Text(label), *cells)
    return table


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold", min_width=8)
    for column in columns:
        folds = column.startswith("x ")
        table.add_column(column, justify="right", no_wrap=not folds, min_width=11 if folds else None)
    return table


def _labels(group: "Group") -> list[str]:
    """The labels without the folder that all of them start with: the columns have to fit into a terminal."""
    labels = [_short(words.printable(case.label)) for case in group.cases]
    folders = [label.rpartition("/")[0] for label in labels]
    if len(labels) == 1 or not all(folders) or len({folder.startswith("/") for folder in folders}) > 1:
        return labels
    return [label.removeprefix(commonpath(folders)).removeprefix("/") for label in labels]


def _short(label: str) -> str:
    """A file that an export named, by its run and its precision: `runs/a/model.int8.onnx` is `runs/a int8`."""
    return re.sub(r"/model\.([a-z0-9+]+)\.onnx", r" \1", label)


def _notes(report: "BenchReport") -> list[str]:
    """The doubts, with what is the same of several models said once."""
    about: dict[str, list[str]] = {}
    for doubt in words.doubts(report):
        model, rest = found.groups() if (found := re.match(r"('.*?') (lacks .*)", doubt)) else ("", doubt)
        about.setdefault(rest, []).append(model)
    return [_said_once(models, rest) for rest, models in about.items()]


def _said_once(models: list[str], rest: str) -> str:
    if len(models) == 1:
        return f"{models[0]} {rest}".lstrip()
    names = " and ".join(models) if len(models) == 2 else f"{len(models)} models"
    return f"{names} {rest.replace('lacks', 'lack', 1)}"


def _percentile(case: "Case", percent: float) -> str:
    found = words.percentile(case, percent)
    if found is None or found.bound_ms is None:
        return words.maybe(words.percentile_ms(case, percent))
    return f"{words.number(found.value_ms)}\n< {words.number(found.bound_ms)}"


def _ratio(case: "Case") -> str:
    return "1" if case.ratio is None else _with_interval(case.ratio.value, case.ratio.low, case.ratio.high)


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    digits = 2 if value < 10 else 1
    interval = "" if low is None or high is None else f" ({low:.{digits}f}-{high:.{digits}f})"
    return f"{value:.{digits}f}{interval}"
