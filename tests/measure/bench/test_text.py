"""Reports as Markdown, and the texts that all formats for people share."""

import re
from typing import Any

import pytest
from msgspec.structs import replace

from capsedge.measure.bench.report import BenchReport, BenchWarning
from capsedge.measure.bench.show.markdown import escaped, markdown
from capsedge.measure.bench.show.page import page
from capsedge.measure.bench.show.text import slow_int8, warnings
from capsedge.measure.machine import Gpu
from capsedge.processor import arithmetic
from capsedge.runtime.settings import Settings
from tests.measure.bench.reports import MACHINE, case, group, report, rounds_of

BUSY = BenchWarning(code="busy", text="it was busy")
HOT = BenchWarning(code="gpu-throttled", text="it throttled")


def tables(given: BenchReport) -> list[list[list[str]]]:
    """The cells of each table: a pipe without a backslash parts them."""
    lines = [line if line.startswith("|") else "" for line in markdown(given).splitlines()]
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n") if block.strip()]
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block] for block in blocks]


def column(table: list[list[str]], name: str) -> list[str]:
    return [row[table[0].index(name)] for row in table[2:]]


def test_a_group_is_a_table_with_a_row_for_each_case_and_the_metric_in_bold() -> None:
    (table,) = tables(report())

    assert {len(row) for row in table} == {len(table[0])}
    assert column(table, "case") == ["runs/a", "runs/a int8"]
    assert column(table, "error %") == ["7.12", "7.45"]
    assert "**p90 ms**" in table[0]
    assert "**images/s**" in tables(report(group(case(), scenario="offline", batch=64)))[0][0]


def test_the_ratio_has_its_interval_or_says_that_there_is_none() -> None:
    (table,) = tables(report())
    first, second = column(table, "x first")
    few = group(*(case(name, rounds_of(1.0, rounds=3)) for name in "ab"))

    assert "no interval" in column(tables(report(few))[0], "x first")[1]
    found = re.fullmatch(r"(0\.\d+) \((0\.\d+)-(0\.\d+)\)", second)
    assert first == "1"
    assert found is not None
    assert 0.3 < float(found[2]) <= float(found[1]) <= float(found[3]) < 0.4


def test_percentiles_that_no_sample_supports_have_no_column_and_one_that_a_case_lacks_a_dash() -> None:
    (table,) = tables(
        report(group(case("a", rounds_of(1.0, iterations=40)), case("b", rounds_of(1.0, iterations=3))))
    )

    assert "p99.9 ms" not in table[0]
    assert column(table, "p99 ms")[1] == "-"


@pytest.mark.parametrize("name", ["a|b", "a||b\\", "a\\|b", "a\nb", "`|`"])
def test_no_name_breaks_the_table(name: str) -> None:
    (table,) = tables(report(group(case(name), case("other"))))

    assert {len(row) for row in table} == {len(table[0])}
    assert len(table) == 4


def test_special_characters_of_markdown_and_html_are_escaped() -> None:
    assert escaped("<b>*a* [b](c) & `d` ~e~") == r"&lt;b>\*a\* \[b\](c) &amp; \`d\` \~e\~"
    assert escaped("fashion_mnist") == "fashion_mnist"


def test_warnings_machine_and_command_are_in_it() -> None:
    text = markdown(
        report(
            group(case(), warnings=(BUSY,), quick=True),
            group(case(), batch=8, warnings=(BUSY, HOT)),
            machine=MACHINE,
        )
    )

    assert "> - it was busy\n" in text
    assert "> - batch 8: it throttled\n" in text
    assert "**Quick measurement.**" in text
    assert "Cortex-A78AE, 6 cores, Linux aarch64" in text
    assert "onnxruntime 1.31.1" in text
    assert "\n    capsedge bench runs/a 'runs/a b/model.int8.onnx'\n" in text


def test_equal_warnings_of_several_models_and_batches_are_merged() -> None:
    few = [BenchWarning(code="few-iterations", text="p99 needs 662", case=name) for name in "abc"]

    assert warnings(report(group(case(), warnings=(BUSY, *few[:2])), group(case(), batch=8, warnings=(BUSY,)))) == [
        "it was busy",
        "batch 1, 'a' and 'b': p99 needs 662",
    ]
    assert warnings(report(group(case(), warnings=tuple(few)))) == ["3 models: p99 needs 662"]


def test_the_gpu_is_named_and_its_energy_shown_where_one_case_has_it() -> None:
    gpu = Gpu(name="Orin", target="sm87", driver="540.4", cuda="12.6", memory_mb="unavailable")
    given = report(group(case("a", energy_mj=3.25), case("b")), machine=replace(MACHINE, gpu=gpu))

    assert column(tables(given)[0], "mJ/image") == ["3.25", "unavailable"]
    assert ", Orin, " in markdown(given)


ZEN_3 = replace(MACHINE, cpu="AMD EPYC", processor=arithmetic(("sse4_1", "avx2")))
FP32 = case("runs/a/model.onnx", rounds_of(1.0))
SLOW = case("runs/a/model.int8.onnx", rounds_of(1.3, seed=1), precision="int8")
FAST = case("runs/a/model.int8.onnx", rounds_of(0.6, seed=1), precision="int8")


def test_int8_that_is_not_faster_than_the_fp32_file_of_its_group_gives_a_line() -> None:
    """An interval that contains 1 shows no gain either."""
    same = case("runs/a/model.int8.onnx", rounds_of(1.0, seed=1), precision="int8")
    assert len(slow_int8(report(group(FP32, same)))) == 1
    assert slow_int8(report(group(FP32, FAST), machine=ZEN_3)) == []
    (line,) = slow_int8(report(group(FP32, SLOW), machine=ZEN_3))
    assert line.startswith(
        "int8 is not faster than fp32 on this processor (avx2): 'runs/a/model.int8.onnx' takes 1.3"
    )
    assert line.endswith(" times as long as 'runs/a/model.onnx'")


def test_the_order_of_the_cases_and_the_batches_does_not_matter() -> None:
    other = group(SLOW, FP32, batch=8)
    assert len(slow_int8(report(group(SLOW, FP32), machine=ZEN_3))) == 1
    lines = slow_int8(report(group(FP32, SLOW), other, machine=ZEN_3))
    assert all("'runs/a/model.int8.onnx' takes 1.3" in line for line in lines)
    assert slow_int8(report(group(FP32, FAST), other, machine=ZEN_3)) == slow_int8(report(other, machine=ZEN_3)) != []


@pytest.mark.parametrize(
    "other",
    [
        {"file": "runs/b/model.onnx"},
        {"settings": Settings(threads=1)},
        {"routing": "dynamic"},
        {"network": "b"},
        {"precision": None},
    ],
)
def test_only_cpu_files_of_one_network_and_folder_with_the_same_settings_are_compared(other: dict[str, Any]) -> None:
    on_gpu = [replace(each, provider="CUDAExecutionProvider") for each in (FP32, SLOW)]
    fixed_batch = replace(FP32, label="runs/a/model.batch1.onnx")
    renamed = replace(FP32, model="small (zoo)")

    assert slow_int8(report(group(replace(FP32, **other), SLOW))) == []
    assert slow_int8(report(group(*on_gpu), machine=ZEN_3)) == []
    assert len(slow_int8(report(group(FP32, fixed_batch, SLOW)))) == len(slow_int8(report(group(renamed, SLOW)))) == 1


def test_page_and_markdown_contain_the_line_and_the_instruction_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsedge.measure.bench.show.page._plots", lambda *_: [])  # they take most of the time
    made = report(group(FP32, SLOW), machine=ZEN_3)
    html = page(made)
    for shown in (markdown(made), html):
        assert "int8 is not faster than fp32 on this processor (avx2)" in shown
        assert "AMD EPYC (sse4_1 avx2)" in shown
    assert "bf16 emulated, slower than fp32" in html


def test_int8_is_not_compared_with_fp32_in_a_server_whose_models_take_no_turns() -> None:
    slow = group(case("a"), case("a int8", rounds_of(9.0), precision="int8"))

    assert len(slow_int8(report(slow))) == 1
    assert slow_int8(report(replace(slow, scenario="server"))) == []
