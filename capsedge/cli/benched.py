"""How a measurement looks on a terminal: a table of the latencies, where the time goes, and what to doubt."""

from collections.abc import Sequence
from os.path import commonpath
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from capsedge.cli.console import out, say

if TYPE_CHECKING:
    from capsedge.runtime.bench.baseline import Change, Comparison
    from capsedge.runtime.bench.report import BenchReport, Case, Group

_PERCENTILES = (50, 90, 99)


def show_report(report: "BenchReport") -> None:
    """Print every group of a report, and the machine that it was measured on."""
    for group in report.groups:
        if len(report.groups) > 1:
            out.print(f"batch {group.batch}")
        out.print(_latencies(group))
        if (parts := _parts(group)) is not None:
            out.print(parts)
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in (machine.onnxruntime | machine.versions).items())
    say(f"{machine.cpu}, {machine.cores} cores{f', {machine.gpu.name}' if machine.gpu else ''}; {versions}")
    for group in report.groups:
        say(_how(group))
        for doubt in group.doubts:
            say(f"note: {doubt}")


def show_comparison(comparison: "Comparison") -> None:
    """Print how each case compares with the baseline."""
    table = _table("case", ("x baseline", "verdict"))
    for row in comparison.rows:
        table.add_row(
            Text(row.label), _with_interval(row.ratio, row.low, row.high), "slower" if row.regressed else "good"
        )
    out.print(table)
    for remark in comparison.remarks:
        say(f"note: {remark}")


def _verdict(row: "Change") -> str:
    """Without an interval nothing can be called slower, and nothing good either."""
    return "slower" if row.regressed else "too few rounds" if row.low is None else "good"


def _latencies(group: "Group") -> Table:
    cases = group.cases
    places = _distinct([case.provider.replace("ExecutionProvider", "") for case in cases])
    errors = _distinct(["-" if case.error is None else f"{100 * case.error:.2f}" for case in cases])
    ratios = len(cases) > 1
    columns = [f"p{percent} ms" for percent in _PERCENTILES] + ["images/s"]
    table = _table(
        "model",
        [*(["on"] if places else []), *columns, *(["x first"] if ratios else []), *(["error %"] if errors else [])],
    )
    for index, (label, case) in enumerate(zip(_labels(group), cases, strict=True)):
        table.add_row(
            Text(label),
            *([places[index]] if places else []),
            *(_percentile(case, percent) for percent in _PERCENTILES),
            f"{case.images_per_second:,.0f}",
            *([_ratio(case)] if ratios else []),
            *([errors[index]] if errors else []),
        )
    return table


def _parts(group: "Group") -> Table | None:
    """Where the time goes: only the parts that some case has."""
    names = [
        name
        for name in ("load_ms", "first_run_ms", "decode_ms", "copy_in_ms", "compute_ms", "copy_out_ms")
        if any(getattr(case.parts, name) is not None for case in group.cases)
    ]
    energies = [case.energy_mj for case in group.cases]
    measured = any(energy != "unavailable" for energy in energies)
    if not names:
        return None
    table = _table(
        "where the time goes, ms",
        [*(name.removesuffix("_ms").replace("_", " ") for name in names), *(["mJ an image"] if measured else [])],
    )
    for label, case, energy in zip(_labels(group), group.cases, energies, strict=True):
        shown = [energy if isinstance(energy, str) else f"{energy:.3g}"] if measured else []
        table.add_row(Text(label), *(_ms(getattr(case.parts, name)) for name in names), *shown)
    return table


def _how(group: "Group") -> str:
    """How a group was measured, in a line."""
    runs = sorted({case.runs for case in group.cases})
    counted = f"{runs[0]}" if len(runs) == 1 else f"{runs[0]} to {runs[-1]}"
    threads = sorted({case.settings.threads for case in group.cases})
    used = " or ".join(str(each) if each else "the runtime's choice of" for each in threads)
    pause = f", {group.interval_ms:g} ms idle before each" if group.interval_ms else ""
    query = f"{group.scenario}, batch {group.batch}{pause}"
    return f"{query}: {counted} runs of each in {group.rounds} rounds, {used} threads"


def _table(first: str, columns: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _labels(group: "Group") -> list[str]:
    """The labels without the folder that all of them start with: the columns have to fit into a terminal."""
    labels = [case.label for case in group.cases]
    folders = [label.rpartition("/")[0] for label in labels]
    if len(labels) == 1 or not all(folders) or len({folder.startswith("/") for folder in folders}) > 1:
        return labels
    return [label.removeprefix(commonpath(folders)).removeprefix("/") for label in labels]


def _distinct(texts: list[str]) -> list[str]:
    """The texts, if a column of them tells anything."""
    return texts if len(set(texts)) > 1 else []


def _percentile(case: "Case", percent: float) -> str:
    return _ms(next((each.value_ms for each in case.percentiles if each.percent == percent), None))


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 100 else f"{value:,.1f}"


def _ratio(case: "Case") -> str:
    return "1" if case.ratio is None else _with_interval(case.ratio.value, case.ratio.low, case.ratio.high)


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}-{high:.2f})"
