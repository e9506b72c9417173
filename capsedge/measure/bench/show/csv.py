"""A report as CSV: one row per case; the fields of the report and of the group are repeated in each row."""

import csv
import io
import json
from typing import Any

import msgspec

from capsedge.measure.bench.report import BenchReport, Case, Group
from capsedge.measure.bench.show.columns import every_column
from capsedge.outside import cell


def csv_of(report: BenchReport) -> str:
    """Format the cases of a report, with units in the column names and all digits of each number.

    A cell is empty if the value does not exist (None), and "unavailable" if the machine could not report it. Lists
    are JSON. The samples are in the JSON file only.
    """
    rows = [
        _of_report(report) | {"group": index} | _of_group(group) | _of_case(case)
        for index, group in enumerate(report.groups, 1)
        for case in group.cases
    ]
    if not rows:
        return ""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows([_cell(value) for value in row.values()] for row in rows)
    return text.getvalue()


def _of_report(report: BenchReport) -> dict[str, Any]:
    machine, gpu = report.machine, report.machine.gpu
    return {
        "created": report.created,
        "capsedge": report.capsedge,
        "cpu": machine.cpu,
        "instruction_sets": None if machine.processor is None else machine.processor.instruction_sets,
        "cores": machine.cores,
        "gpu": None if gpu is None else gpu.name,
        "driver": None if gpu is None else gpu.driver,
        "board": machine.board,
        "system": machine.system,
        "python": machine.python,
        "versions": machine.onnxruntime | machine.versions,
    }


def _of_group(group: Group) -> dict[str, Any]:
    return {
        "scenario": group.scenario,
        "batch": group.batch,
        "interval_ms": group.interval_ms,
        "concurrency": group.concurrency,
        "bound_of_p99_ms": group.p99_ms,
        "quick": group.quick,
        "rounds": group.rounds,
        "warnings": msgspec.to_builtins(group.warnings),
        **{f"{name}_before": value for name, value in msgspec.structs.asdict(group.before).items()},
        **{f"{name}_after": value for name, value in msgspec.structs.asdict(group.after).items()},
    }


def _of_case(case: Case) -> dict[str, Any]:
    return {key: value(case) for column in every_column() for key, value in column.values.items()}


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return cell(value)
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
