"""Saving and loading reports."""

import json
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from capsedge.errors import DataError, MissingExtra, WrongUse
from capsedge.measure.bench import files
from capsedge.measure.bench.deployment import ErrorOnData, PeakMemory, Served, Trial
from capsedge.measure.bench.files import check_extras, load, save
from capsedge.measure.bench.plan import Plan
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


def test_json_round_trips_every_sample_and_text(tmp_path: Path) -> None:
    odd = case("[\n 1,\n 2\n]", [[0.1 + 0.2, 1e-7, 5.0], [123456.789]], energy_mj="unavailable")
    warning = BenchWarning(code="busy", text="a [1,\t2] \\n b", case="[ 1,  2 ]")
    given = report(group(odd, warnings=(warning,)), group(odd, batch=8))

    save(given, tmp_path / "report.json")

    assert load(tmp_path / "report.json") == given


def test_json_is_standard_reproducible_and_has_one_line_per_round(saved: Path, tmp_path: Path) -> None:
    save(report(), tmp_path / "again.json")
    read = json.loads(saved.read_text())

    assert saved.read_bytes() == (tmp_path / "again.json").read_bytes()
    assert (read["kind"], read["schema"]) == ("capsedge bench", 5)
    assert read == json.loads(msgspec.json.encode(report()))
    lines = {line.strip().rstrip(",") for line in saved.read_text().splitlines()}
    assert {json.dumps(turn) for turn in read["groups"][0]["cases"][0]["samples_ms"]} <= lines


@pytest.mark.parametrize("name", ["report", "report.txt", "report.json.gz", ".json"])
def test_another_suffix_is_refused_with_the_valid_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=r"that ends in \.json, \.csv, \.md, \.html, got '.*'"):
        save(report(), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["report.json", "report.csv", "REPORT.MD"])
def test_a_report_without_cases_can_be_written_and_a_suffix_in_capitals(name: str, tmp_path: Path) -> None:
    save(msgspec.structs.replace(report(), groups=()), tmp_path / name)

    assert (tmp_path / name).is_file()


def test_a_page_without_matplotlib_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(module: str, *, extra: str) -> None:
        raise MissingExtra(f"pip install 'capsedge[{extra}]'")

    monkeypatch.setattr(files, "require", not_installed)
    with pytest.raises(MissingExtra, match=r"capsedge\[plots\]"):
        check_extras([Path("report.html")])
    check_extras([Path("report.json")])


def test_a_failed_write_leaves_the_report_of_before(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def broken(_: BenchReport) -> str:
        raise KeyboardInterrupt

    monkeypatch.setitem(files._WRITERS, ".json", broken)
    with pytest.raises(KeyboardInterrupt):
        save(report(), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"old\.json' cannot be read: No such file"):
        load(tmp_path / "old.json")


NO_REPORT = "is not a JSON report, or is incomplete .*--output FILE"
OTHER_KIND = "is a JSON file, but not a report of `capsedge bench`"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        *((content, NO_REPORT) for content in (b"", b"{", b"model,p50\n", b"[]", b"\xff\xfe", b'{"kind": "\xff"}')),
        (b"[" * 100_000, NO_REPORT),
        (b'{"kind": "capsedge bench", "groups": ' + b"[" * 100_000, NO_REPORT),
        *((content, OTHER_KIND) for content in (b"{}", b'{"schema": 4}', b'{"kind": "capsedge profile"}')),
        *(
            (
                b'{"kind": "capsedge bench", "schema": %d, "groups": 1}' % schema,
                f"of schema 5, got schema {schema} in",
            )
            for schema in (0, 4, 6, 10**30)
        ),
    ],
)
def test_a_file_that_is_not_a_report_of_this_schema_is_refused_in_one_line(
    content: bytes, line: str, tmp_path: Path
) -> None:
    (tmp_path / "old.json").write_bytes(content)

    with pytest.raises(DataError, match=line) as refused:
        load(tmp_path / "old.json")
    assert "\n" not in str(refused.value)


def test_an_incomplete_report_and_a_damaged_field_are_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for content, line in (
        (whole[:-100], "incomplete"),
        (whole.replace(b'"rounds": 20', b'"rounds": "many"'), r"damaged report .*groups\[0\]\.rounds"),
        (whole.replace(b'"error": 0.0712', b'"error": 1e308'), r"cases\[0\]\.error: expected"),
        (whole.replace(b'"Cortex-A78AE"', b'"\xff"'), r"report\.json' is .* \(.*UTF-8"),
        # Python 3.14 goes deeper than 3.11, to the end of the file.
        (whole.replace(b'"Cortex-A78AE"', b"[" * 100_000), r"report\.json' is .* \(.*(too deep|malformed)"),
    ):
        saved.write_bytes(content)
        with pytest.raises(DataError, match=line):
            load(saved)


@pytest.mark.parametrize(
    ("samples", "place"),
    [
        ([], r"\[1\]\.samples_ms"),
        ([[1.0], []], r"\[1\]\.samples_ms\[1\]"),
        ([[0.0]], r"\[1\]\.samples_ms\[0\]\[0\]"),
        ([[1e308]], r"\[1\]\.samples_ms\[0\]\[0\]"),
        ([[1.0], [1.0]], ""),  # the other case has 20 rounds
    ],
)
def test_damaged_samples_are_located(samples: list[list[float]], place: str, saved: Path) -> None:
    content = json.loads(saved.read_text())
    content["groups"][0]["cases"][1]["samples_ms"] = samples
    saved.write_text(json.dumps(content))

    with pytest.raises(DataError, match=rf"damaged report \(groups\[0\]\.cases{place}: expected"):
        load(saved)


def test_the_guide_names_every_field_of_the_file_and_every_code_of_a_warning() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "bench.md").read_text()
    records = (
        *(BenchReport, Plan, Group, Case, Warmup, Breakdown, Percentile, Ratio, BenchWarning),
        *(Served, Trial, PeakMemory, ErrorOnData),
    )
    fields = [name for record in records for name in record.__struct_fields__]

    assert [name for name in fields if not re.search(rf"`[^`]*\b{name}\b[^`]*`", guide)] == []
    assert [code for code in get_args(WarningCode) if f"| `{code}` |" not in guide] == []
