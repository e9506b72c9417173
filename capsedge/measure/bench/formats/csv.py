"""A measurement as CSV: one row a case, what the cases of a group share repeated in each."""

import csv as reader_and_writer
import io
import json
from typing import Any

import msgspec

from capsedge.measure.bench.formats.words import percentile, percents
from capsedge.measure.bench.percentiles import FEWEST_SAMPLES
from capsedge.measure.bench.report import BenchReport, Case, Group


def csv(report: BenchReport) -> str:
    """Write a report's cases, with units in the names of the columns, and every number in full.

    A cell is empty for what is not there (None), and "unavailable" for what the machine could not tell. Lists are
    JSON. The samples are in the JSON file only.
    """
    cases = [case for group in report.groups for case in group.cases]
    wanted = sorted({*FEWEST_SAMPLES, *percents(cases)})
    rows = [
        _of_report(report) | {"group": index} | _of_group(group) | _of_case(case, wanted)
        for index, group in enumerate(report.groups, 1)
        for case in group.cases
    ]
    if not rows:
        return ""
    text = io.StringIO(newline="")
    writer = reader_and_writer.writer(text, lineterminator="\n")
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
        "quick": group.quick,
        "rounds": group.rounds,
        "doubts": group.doubts,
        **{f"{name}_before": value for name, value in msgspec.structs.asdict(group.before).items()},
        **{f"{name}_after": value for name, value in msgspec.structs.asdict(group.after).items()},
    }


def _of_case(case: Case, wanted: list[float]) -> dict[str, Any]:
    ratio = case.ratio
    return {
        "label": case.label,
        "model": case.model,
        "precision": case.precision,
        "routing": case.routing,
        "error": case.error,
        "error_on": case.error_on,
        "provider": case.provider,
        "fell_back": case.fell_back,
        "asked_provider": case.settings.provider,
        "threads": case.settings.threads,
        "spinning": case.settings.spinning,
        "graph": case.settings.graph,
        "io_binding": case.settings.io_binding,
        "allow_fallback": case.settings.allow_fallback,
        "warmup_runs": case.warmup.runs,
        "warmup_s": case.warmup.seconds,
        "warmup_settled": case.warmup.settled,
        "runs": case.runs,
        "mean_ms": case.mean_ms,
        "min_ms": case.min_ms,
        "max_ms": case.max_ms,
        **_percentiles(case, wanted),
        "images_per_s": case.images_per_second,
        **msgspec.structs.asdict(case.parts),
        "energy_per_image_mj": case.energy_mj,
        "ratio_to_first": None if ratio is None else ratio.value,
        "ratio_low": None if ratio is None else ratio.low,
        "ratio_high": None if ratio is None else ratio.high,
    }


def _percentiles(case: Case, wanted: list[float]) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for percent in wanted:
        found, name = percentile(case, percent), f"p{percent:g}".replace(".", "_")
        columns[f"{name}_ms"] = None if found is None else found.value_ms
        columns[f"{name}_bound_ms"] = None if found is None else found.bound_ms
    return columns


def _cell(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return repr(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
