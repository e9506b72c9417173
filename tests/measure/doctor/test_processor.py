"""What the doctor says of a processor: of this one, and of those that it is not."""

import pytest

from capsedge.measure.doctor import processor as module
from capsedge.measure.doctor.processor import find_processor
from capsedge.processor import Processor, arithmetic, this_processor
from capsedge.runtime.ort import wheels

ZEN_3 = arithmetic(("sse4_1", "avx2"))
ZEN_4 = arithmetic(("sse4_1", "avx2", "avx512f", "avx512_vnni", "avx512_bf16"))


def test_this_processor_is_tried_by_running_its_int8_kernels() -> None:
    found = find_processor(this_processor())

    here = this_processor()
    assert found.state == "works"
    assert found.advice == ""
    if here is not None:
        assert ("int8 sums saturate" if here.int8_saturates else "int8 sums are exact") in found.detail


@pytest.mark.parametrize(
    ("processor", "saturates", "said"),
    [
        (
            ZEN_3,
            True,
            "sse4_1 avx2: fp32 by avx2, int8 by avx2, whose sums saturate with weights of 8 bits, bf16 emulated, "
            "slower than fp32; in a test run, the largest int8 sums saturate: files with weights of 7 bits, as "
            "capsedge exports them, are still exact; others run with exact kernels where ONNX Runtime has them, "
            "which take longer",
        ),
        (
            ZEN_4,
            False,
            "sse4_1 avx2 avx512f avx512_vnni avx512_bf16: fp32 by avx512f, int8 by avx512_vnni, bf16 by avx512_bf16; "
            "in a test run, the largest int8 sums are exact",
        ),
        (None, False, "instruction sets unavailable; in a test run, the largest int8 sums are exact"),
    ],
)
def test_what_the_run_showed_stands_beside_what_the_instruction_sets_mean(
    processor: Processor | None, saturates: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "int8_saturates", lambda _: saturates)
    assert find_processor(processor).detail == said


def test_without_a_working_onnx_runtime_nothing_was_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "installed_wheels", lambda: {"onnxruntime": "1", "onnxruntime-gpu": "1"})
    found = find_processor(ZEN_3)
    assert (found.state, "tried" in found.detail) == ("installed", False)
