"""What the formats say alike: the processor, and int8 that is not faster."""

from msgspec.structs import replace

from capsedge.measure.bench.formats.markdown import markdown
from capsedge.measure.bench.formats.page import page
from capsedge.measure.bench.formats.words import hardware, slow_int8
from capsedge.processor import arithmetic
from capsedge.runtime.settings import Settings
from tests.measure.bench.reports import MACHINE, case, group, report, rounds_of

ZEN_3 = replace(MACHINE, cpu="AMD EPYC", processor=arithmetic(("sse4_1", "avx2")))
FP32 = case("runs/a/model.onnx", rounds_of(1.0))
SLOW = case("runs/a/model.int8.onnx", rounds_of(1.3, seed=1), precision="int8")
FAST = case("runs/a/model.int8.onnx", rounds_of(0.6, seed=1), precision="int8")


def test_int8_that_is_slower_than_the_fp32_file_beside_it_is_told_in_a_line() -> None:
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


def test_int8_that_is_faster_needs_no_word() -> None:
    assert slow_int8(report(group(FP32, FAST), machine=ZEN_3)) == []


def test_one_that_may_be_as_fast_is_told_too() -> None:
    """An interval that holds 1: nothing shows that it is faster."""
    same = case("runs/a/model.int8.onnx", rounds_of(1.0, seed=1), precision="int8")
    assert len(slow_int8(report(group(FP32, same)))) == 1


def test_only_files_of_one_network_in_the_same_settings_are_compared() -> None:
    elsewhere = case("runs/b/model.onnx", rounds_of(1.0))
    one_thread = replace(FP32, settings=Settings(threads=1))
    routed = replace(FP32, routing="dynamic")
    for other in (elsewhere, one_thread, routed, replace(FP32, precision=None)):
        assert slow_int8(report(group(other, SLOW))) == []


def test_only_the_cpu_is_spoken_of() -> None:
    on_gpu = [replace(each, provider="CUDAExecutionProvider") for each in (FP32, SLOW)]
    assert slow_int8(report(group(*on_gpu), machine=ZEN_3)) == []


def test_several_fp32_files_beside_it_silence_nothing() -> None:
    fixed = replace(FP32, label="runs/a/model.batch1.onnx", model="runs/a/model.batch1.onnx")
    assert len(slow_int8(report(group(FP32, fixed, SLOW), machine=ZEN_3))) == 1


def test_page_and_markdown_carry_the_line_and_the_instruction_sets() -> None:
    made = report(group(FP32, SLOW), machine=ZEN_3)
    for shown in (markdown(made), page(made)):
        assert "int8 is not faster than fp32 on this processor (avx2)" in shown
        assert hardware(ZEN_3).split(",")[0] == "AMD EPYC (sse4_1 avx2)"
        assert "sse4" in shown
    assert "bf16 emulated, slower than fp32" in page(made)
