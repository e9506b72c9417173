"""The Markdown of a report, as a reader of tables splits it."""

import re

import pytest
from msgspec.structs import replace

from capsedge.measure.bench.formats.markdown import escaped, markdown
from capsedge.measure.bench.report import BenchReport
from capsedge.measure.machine import Gpu
from tests.measure.bench.reports import MACHINE, case, group, report, rounds_of


def tables(given: BenchReport) -> list[list[list[str]]]:
    """The cells of each table: a pipe without a backslash parts them."""
    lines = [line if line.startswith("|") else "" for line in markdown(given).splitlines()]
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n") if block.strip()]
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block] for block in blocks]


def column(table: list[list[str]], name: str) -> list[str]:
    return [row[table[0].index(name)] for row in table[2:]]


def test_a_group_is_a_table_with_a_row_for_each_case() -> None:
    (table,) = tables(report())

    assert {len(row) for row in table} == {len(table[0])}
    assert column(table, "case") == ["runs/a", "runs/a int8"]
    assert column(table, "error %") == ["7.12", "7.45"]


def test_the_figure_that_the_scenario_is_judged_by_stands_out() -> None:
    assert "**p90 ms**" in tables(report())[0][0]
    assert "**images/s**" in tables(report(group(case(), scenario="offline", batch=64)))[0][0]


def test_the_ratio_has_its_interval() -> None:
    (table,) = tables(report())
    first, second = column(table, "x first (95 % interval)")

    found = re.fullmatch(r"(0\.\d+) \((0\.\d+) to (0\.\d+)\)", second)
    assert first == "1"
    assert found is not None
    assert 0.3 < float(found[2]) <= float(found[1]) <= float(found[3]) < 0.4


def test_a_ratio_without_an_interval_says_why() -> None:
    cases = [case("a", rounds_of(1.0, rounds=3)), case("b", rounds_of(2.0, rounds=3))]

    assert "too few rounds" in column(tables(report(group(*cases)))[0], "x first (95 % interval)")[1]


def test_percentiles_that_no_sample_supports_have_no_column_and_one_that_a_case_lacks_a_dash() -> None:
    (table,) = tables(report(group(case("a", rounds_of(1.0, runs=40)), case("b", rounds_of(1.0, runs=3)))))

    assert "p99.9 ms" not in table[0]
    assert column(table, "p99 ms")[1] == "-"


@pytest.mark.parametrize("name", ["a|b", "a||b\\", "a\\|b", "a\nb", "`|`"])
def test_no_name_breaks_the_table(name: str) -> None:
    (table,) = tables(report(group(case(name), case("other"))))

    assert {len(row) for row in table} == {len(table[0])}
    assert len(table) == 4


def test_what_means_something_in_markdown_or_html_is_escaped() -> None:
    assert escaped("<b>*a* [b](c) & `d` ~e~") == r"&lt;b>\*a\* \[b\](c) &amp; \`d\` \~e\~"
    assert escaped("fashion_mnist") == "fashion_mnist"


def test_doubts_machine_and_command_are_in_it() -> None:
    text = markdown(
        report(
            group(case(), doubts=("it was busy",), quick=True),
            group(case(), batch=8, doubts=("it was busy", "it throttled")),
            machine=MACHINE,
        )
    )

    assert "> - it was busy\n" in text
    assert "> - batch 8: it throttled\n" in text
    assert "**Quick look.**" in text
    assert "Cortex-A78AE, 6 cores, Linux aarch64" in text
    assert "onnxruntime 1.31.1" in text
    assert "\n    capsedge bench runs/a 'runs/a b/model.int8.onnx'\n" in text


def test_the_gpu_is_named_and_its_energy_shown_where_one_case_has_it() -> None:
    gpu = Gpu(name="Orin", target="sm87", driver="540.4", cuda="12.6", memory_mb="unavailable")
    given = report(group(case("a", energy_mj=3.25), case("b")), machine=replace(MACHINE, gpu=gpu))

    assert column(tables(given)[0], "mJ/image") == ["3.25", "unavailable"]
    assert ", Orin, " in markdown(given)
