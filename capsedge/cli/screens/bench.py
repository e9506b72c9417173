"""The result of `capsedge bench`: a table of the latencies, their breakdown, and the warnings."""

import re
from collections.abc import Sequence
from dataclasses import replace
from posixpath import commonpath
from typing import TYPE_CHECKING

from capsedge.cli.console import out, say
from capsedge.cli.tables import Column, print_table
from capsedge.errors import WrongUse
from capsedge.measure.bench.show import columns, text
from capsedge.measure.bench.show.columns import Column as Figure
from capsedge.outside import one_line
from capsedge.runtime.providers import CPU

if TYPE_CHECKING:
    from capsedge.measure.bench.plan import Plan
    from capsedge.measure.bench.report import BenchReport, Case, Change, Comparison, Group

_SHOWN = (
    *("p50 ms", "p90 ms", "p99 ms", "images/s", "x first", "queries/s", "highest queries/s"),
    *("CPU mJ/image", "peak MB", "of it the runtime's MB", "error %", "error % on data", "points vs first"),
)
# Columns that a narrow terminal leaves out, the highest number first.
_OPTIONAL = {"of it the runtime's MB": 6, "points vs first": 5, "p90 ms": 3, "p99 ms": 2}


def show_report(report: "BenchReport") -> None:
    """Print every group of a report, and the machine that it was measured on."""
    for group in report.groups:
        if len(report.groups) > 1:
            out.print(f"batch {group.batch}")
        _print("model", group, _figures(group))
        if parts := columns.breakdown(group):
            _print("where the time goes", group, parts)
    say(f"{text.hardware(report.machine)}; {text.versions(report)}")
    for group in report.groups:
        threads = " or ".join(dict.fromkeys(str(case.settings.threads or "all") for case in group.cases))
        by = f"{threads} {'thread' if threads == '1' else 'threads'}{_where(group)}"
        say(f"{text.title(group)}: {text.counted(group)}, {by}")
    if any(each.bound_ms is not None for group in report.groups for case in group.cases for each in case.percentiles):
        say("after a percentile, < is its upper bound at 99 % confidence")
    for line in (line for group in report.groups for line in text.trials(group)):
        say(one_line(line))
    if energy := text.energy_of_cpu(report):
        say(energy)
    for data in dict.fromkeys(case.on_data.data for group in report.groups for case in group.cases if case.on_data):
        say(f"error on {one_line(data)}; beside it, its 95 % interval")
    for note in (*text.slow_int8(report), *text.warnings(report)):
        say(f"note: {one_line(note)}")


def _where(group: "Group") -> str:
    """The provider, if no column shows it and it is not the default."""
    providers = {case.provider for case in group.cases}
    return "" if len(providers) != 1 or providers == {CPU} else f", on {min(providers)}"


def show_comparison(comparison: "Comparison") -> None:
    """Print how each case compares with the baseline."""
    ratios = [f"{text.number(row.ratio)}\n{text.interval(row.low, row.high)}" for row in comparison.rows]
    verdicts = [_verdict(row) for row in comparison.rows]
    labels = [one_line(row.label) for row in comparison.rows]
    print_table([Column("case", labels), Column("x baseline", ratios, numeric=True), Column("verdict", verdicts)])
    for note in text.comparison_warnings(comparison):
        say(f"note: {one_line(note)}")


def slower_than_first(report: "BenchReport", most: float) -> list[str]:
    """The cases whose ratio to the first of their group exceeds `most`, with an interval above 1.

    Raises:
        WrongUse: It is a report of the scenario `server`, whose cases have no ratio.
    """
    check_turns(report.plan)
    return [
        f"{case.label} ({case.ratio.value:.2f} x)"
        for group in report.groups
        for case in group.cases
        if case.ratio and case.ratio.value > most and (case.ratio.low is None or case.ratio.low > 1)
    ]


def check_turns(plan: "Plan") -> None:
    """Refuse a limit on the ratio for models that do not take turns.

    Raises:
        WrongUse: The scenario is `server`.
    """
    if plan.scenario == "server":
        raise WrongUse(
            "--max-ratio compares models that take turns, which --scenario server does not", "leave it out"
        )


def named(rows: Sequence["Change"]) -> str:
    """The changed cases, each with its ratio."""
    return ", ".join(f"{row.label} ({row.ratio:.2f} x)" for row in rows)


def _verdict(row: "Change") -> str:
    """The verdict on a change; without an interval there is none."""
    return "slower" if row.regressed else "too few rounds" if row.low is None else "not slower"


def _figures(group: "Group") -> list[Figure]:
    """The columns to show; the error is left out where it is the same for every model."""
    hidden = set()
    if group.interval_ms or group.scenario == "server":  # the interval, or the arrivals, set the throughput
        hidden.add("images/s")
    held = all(case.served is not None and case.served.highest_qps is not None for case in group.cases)
    if group.p99_ms is not None and group.qps is None and held:  # else the rate of the percentiles
        hidden.add("queries/s")
    if len({case.error for case in group.cases}) == 1 or any(case.on_data for case in group.cases):
        hidden.add("error %")
    shown = [each for each in columns.figures(group) if each.name in _SHOWN and each.name not in hidden]
    if len({case.provider for case in group.cases}) > 1:
        shown.insert(0, replace(columns.PROVIDER, text=lambda case: case.provider.replace("ExecutionProvider", "")))
    return shown


def _print(first: str, group: "Group", shown: Sequence[Figure]) -> None:
    """Print a row for each case; a figure has its detail, such as the bound of a percentile, beside or below it."""
    print_table(
        [
            Column(first, _labels(group)),
            *(
                Column(
                    figure.name,
                    [_cell(figure, case) for case in group.cases],
                    numeric=figure.name != columns.PROVIDER.name,
                    optional=_optional(figure, group),
                )
                for figure in shown
            ),
        ]
    )


def _cell(figure: Figure, case: "Case") -> str:
    """A figure with its detail; a line break stands where a narrow column may wrap."""
    return f"{figure.text(case)}\n{figure.detail(case)}".strip().replace(" to ", " to\n")


def _optional(figure: Figure, group: "Group") -> int:
    """Priority of omission: the metric goes last, and the throughput of several clients stays."""
    judged = any(case.memory or case.on_data for case in group.cases)
    if figure.name == "images/s":
        return 4 if judged and group.concurrency == 1 else 0
    if figure.metric:
        return 1 if judged else 0
    return _OPTIONAL.get(figure.name, 0)


def _labels(group: "Group") -> list[str]:
    """The labels without their common folder, so that the columns fit into a terminal."""
    labels = [_short(one_line(case.label)) for case in group.cases]
    folders = [label.rpartition("/")[0] for label in labels]
    if len(labels) == 1 or not all(folders) or len({folder.startswith("/") for folder in folders}) > 1:
        return labels
    return [label.removeprefix(commonpath(folders)).removeprefix("/") for label in labels]


def _short(label: str) -> str:
    """An exported file as its run and precision: `runs/a/model.int8.onnx` becomes `runs/a int8`."""
    return re.sub(r"/model\.([a-z0-9+]+)\.onnx", r" \1", label)
