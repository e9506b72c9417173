"""The CSV of a report, read back by Python's reader."""

import csv
import io
import json

from msgspec.structs import replace

from capsedge.measure.bench.report import BenchReport
from capsedge.measure.bench.show.csv import csv_of
from capsedge.measure.machine import Conditions
from tests.measure.bench.reports import case, group, report, rounds_of


def read(given: BenchReport) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_of(given), newline=""), strict=True))


def test_every_figure_comes_back_as_it_was() -> None:
    given = report()
    for row, case_ in zip(read(given), given.groups[0].cases, strict=True):
        for column, value in {
            "mean_ms": case_.mean_ms,
            "min_ms": case_.min_ms,
            "max_ms": case_.max_ms,
            "images_per_s": case_.images_per_second,
            "error": case_.error,
            "load_ms": case_.breakdown.load_ms,
            "compute_ms": case_.breakdown.compute_ms,
            "warmup_s": case_.warmup.seconds,
        }.items():
            assert float(row[column]) == value
        for each in case_.percentiles:
            assert float(row[f"p{each.percent:g}_ms"]) == each.value_ms
            assert row[f"p{each.percent:g}_bound_ms"] == ("" if each.bound_ms is None else repr(each.bound_ms))
        assert int(row["iterations"]) == case_.iterations


def test_a_row_is_a_case_and_repeats_its_group() -> None:
    unsettled = replace(case(), warmup=replace(case().warmup, settled=False))
    rows = read(report(group(case(), case("b")), group(unsettled, batch=8, interval_ms=33.5, quick=True)))

    assert [(row["group"], row["batch"], row["label"]) for row in rows] == [
        ("1", "1", "runs/a"),
        ("1", "1", "b"),
        ("2", "8", "runs/a"),
    ]
    assert [row["interval_ms"] for row in rows] == ["0.0", "0.0", "33.5"]
    assert [(row["quick"], row["warmup_settled"]) for row in rows[1:]] == [("false", "true"), ("true", "false")]


def test_a_missing_value_is_empty_an_unavailable_one_says_so_and_a_zero_is_a_number() -> None:
    zero = case("b", error=0.0, energy_mj=0.0)
    row, zeros = read(report(group(case(precision=None, error=None, error_on=None), zero)))

    empty = ("precision", "error", "ratio_to_first", "copy_in_ms", "p99_ms", "p99_9_ms", "gpu", "asked_provider")
    assert {row[column] for column in empty} == {""}
    assert (zeros["error"], zeros["energy_per_image_mj"]) == ("0.0", "0.0")
    assert row["energy_per_image_mj"] == row["gpu_power_w_before"] == row["cpu_mhz_after"] == "unavailable"
    assert (row["load_average_before"], row["load_average_after"]) == ("0.25", "1.0")


def test_any_name_comes_back_but_never_as_a_formula_of_a_spreadsheet() -> None:
    names = ['a, "b"', "a\nb", "a;b", " a ", "模型", "a\r\nb"]

    assert [row["label"] for row in read(report(group(*map(case, [*names, "=1+1"]))))] == [*names, "'=1+1"]


def test_lists_come_back_as_json() -> None:
    cool = Conditions(gpu_throttling=())
    (row,) = read(report(group(case(fell_back=("Resize", "a, b")), warnings=("it was busy; very",), before=cool)))

    assert json.loads(row["fell_back"]) == ["Resize", "a, b"]
    assert json.loads(row["warnings"]) == ["it was busy; very"]
    assert json.loads(row["versions"]) == {"onnxruntime": "1.31.1", "numpy": "2.4.6"}
    assert row["gpu_throttling_before"] == "[]"


def test_the_columns_are_the_same_for_few_iterations_and_for_many() -> None:
    few = report(group(case(samples_ms=rounds_of(1.0, rounds=2))))
    many = report(group(case(samples_ms=rounds_of(1.0, iterations=400))))

    assert list(read(few)[0]) == list(read(many)[0])
    assert read(many)[0]["p99_9_ms"] != ""


def test_every_column_of_time_energy_or_clock_names_its_unit() -> None:
    figures = [name for name, value in read(report())[0].items() if value.replace(".", "").isdigit()]
    counts = {
        "group",
        "batch",
        "rounds",
        "concurrency",
        "iterations",
        "warmup_iterations",
        "cores",
        "threads",
        "error",
        "load_average",
    }
    ratios = {"ratio_to_first", "ratio_low", "ratio_high", "python", "capsedge"}
    units = ("_ms", "_s", "_mj", "_mhz", "_c", "_w")

    named = [name.removesuffix("_before").removesuffix("_after") for name in figures]
    assert [name for name in named if not name.endswith(units) and name not in counts | ratios] == []
