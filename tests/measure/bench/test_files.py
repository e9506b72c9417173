"""Saving and loading reports."""

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from capsedge.errors import DataError, MissingExtra, WrongUse
from capsedge.measure.bench import files
from capsedge.measure.bench.files import check_suffix, load, save
from capsedge.measure.bench.report import (
    BenchReport,
    BenchWarning,
    Breakdown,
    Case,
    Group,
    Percentile,
    Ratio,
    Warmup,
    WarningCode,
)
from tests.measure.bench.reports import case, group, report


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save(report(), tmp_path / "report.json")
    return tmp_path / "report.json"


def test_json_gives_back_every_sample_and_every_word(tmp_path: Path) -> None:
    odd = case("[\n 1,\n 2\n]", [[0.1 + 0.2, 1e-7, 5.0], [123456.789]], energy_mj="unavailable")
    warning = BenchWarning(code="busy", text="a [1,\t2] \\n b", case="[ 1,  2 ]")
    given = report(group(odd, warnings=(warning,)), group(odd, batch=8))

    save(given, tmp_path / "report.json")

    assert load(tmp_path / "report.json") == given


def test_json_is_what_any_reader_of_json_reads(saved: Path) -> None:
    read = json.loads(saved.read_text())

    assert (read["kind"], read["schema"]) == ("capsedge bench", 3)
    assert read == json.loads(msgspec.json.encode(report()))
    assert read["groups"][0]["before"]["gpu_power_w"] == "unavailable"


def test_json_is_the_same_bytes_each_time_with_a_round_on_a_line(saved: Path, tmp_path: Path) -> None:
    save(report(), tmp_path / "again.json")

    assert saved.read_bytes() == (tmp_path / "again.json").read_bytes()
    lines = {line.strip().rstrip(",") for line in saved.read_text().splitlines()}
    turns = json.loads(saved.read_text())["groups"][0]["cases"][0]["samples_ms"]
    assert {json.dumps(turn) for turn in turns} <= lines


@pytest.mark.parametrize("name", ["report", "report.txt", "report.json.gz", ".json"])
def test_another_suffix_is_refused_with_those_that_there_are(name: str, tmp_path: Path) -> None:
    for refused in (check_suffix, lambda file: save(report(), file)):
        with pytest.raises(WrongUse, match=r"that ends in \.json, \.csv, \.md, \.html, got '.*'"):
            refused(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    save(report(), tmp_path / "REPORT.MD")

    assert "runs/a" in (tmp_path / "REPORT.MD").read_text()


@pytest.mark.parametrize("suffix", [".json", ".csv", ".md"])
def test_a_report_without_cases_can_be_written(suffix: str, tmp_path: Path) -> None:
    save(msgspec.structs.replace(report(), groups=()), tmp_path / f"report{suffix}")

    assert (tmp_path / f"report{suffix}").is_file()


def test_a_page_without_matplotlib_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(module: str, *, extra: str) -> None:
        raise MissingExtra(f"pip install 'capsedge[{extra}]'")

    monkeypatch.setattr(files, "require", not_installed)
    with pytest.raises(MissingExtra, match=r"capsedge\[plots\]"):
        check_suffix(Path("report.html"))
    check_suffix(Path("report.json"))


def test_a_failed_write_leaves_the_report_of_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def broken(_: BenchReport) -> str:
        raise KeyboardInterrupt

    monkeypatch.setitem(files._WRITERS, ".json", broken)
    with pytest.raises(KeyboardInterrupt):
        save(report(), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"old\.json' cannot be read: No such file"):
        load(tmp_path / "old.json")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"model,p50\n", b"[]", b"\xff\xfe", b'{"kind": "\xff"}', b"[" * 100_000]
)
def test_what_is_no_json_of_a_report_is_told_in_a_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_bytes(content)

    with pytest.raises(DataError, match=r"is not a JSON report, or is incomplete .*--output FILE\.json") as told:
        load(tmp_path / "old.json")
    assert "\n" not in str(told.value)


def test_a_report_that_was_cut_off_is_told(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])

    with pytest.raises(DataError, match="incomplete"):
        load(saved)


@pytest.mark.parametrize(
    "content", ["{}", '{"schema": 3, "classes": []}', '{"kind": "capsedge profile", "schema": 1}']
)
def test_json_of_another_kind_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(content)

    with pytest.raises(DataError, match="is a JSON file, but not a report of `capsedge bench`"):
        load(tmp_path / "old.json")


@pytest.mark.parametrize("schema", [0, 2, 4])
def test_a_report_of_another_schema_is_told_whatever_is_in_it(schema: int, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text(f'{{"kind": "capsedge bench", "schema": {schema}, "groups": "elsewhere"}}')

    with pytest.raises(DataError, match=rf"expected a report of schema 3, got schema {schema} in .*: measure again"):
        load(tmp_path / "other.json")


def test_a_damaged_field_is_named(saved: Path) -> None:
    saved.write_text(saved.read_text().replace('"rounds": 20', '"rounds": "many"'))

    with pytest.raises(DataError, match=r"damaged report .*groups\[0\]\.rounds"):
        load(saved)


@pytest.mark.parametrize(
    ("samples", "place"),
    [
        ([], r"\[1\]\.samples_ms"),
        ([[1.0], []], r"\[1\]\.samples_ms\[1\]"),
        ([[0.0]], r"\[1\]\.samples_ms\[0\]\[0\]"),
        ([[1.0], [1.0]], ""),  # the other case has 20 rounds
    ],
)
def test_damaged_samples_are_located(samples: list[list[float]], place: str, saved: Path) -> None:
    content = json.loads(saved.read_text())
    content["groups"][0]["cases"][1]["samples_ms"] = samples
    saved.write_text(json.dumps(content))

    with pytest.raises(DataError, match=rf"damaged report \(groups\[0\]\.cases{place}: expected"):
        load(saved)


@pytest.mark.parametrize("name", [b'"\xff"', b"[" * 100_000])
def test_bytes_that_are_no_text_and_deep_nesting_within_a_report_are_told(name: bytes, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes().replace(b'"Cortex-A78AE"', name))

    with pytest.raises(DataError, match=r"report\.json' is .* \(.*(UTF-8|too deep)"):
        load(saved)


@pytest.mark.parametrize("record", [BenchReport, Group, Case, Warmup, Breakdown, Percentile, Ratio, BenchWarning])
def test_the_guide_names_every_field_of_the_file(record: type[msgspec.Struct]) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "bench.md").read_text()

    assert [name for name in record.__struct_fields__ if not re.search(rf"`[^`]*\b{name}\b[^`]*`", guide)] == []


def test_the_guide_names_every_code_of_a_warning() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "bench.md").read_text()

    assert [code for code in get_args(WarningCode) if f"| `{code}` |" not in guide] == []
