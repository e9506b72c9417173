"""The finding about the processor: its instruction sets, and whether int8 sums are exact here, tested by a run."""

from capsedge.errors import CapsedgeError
from capsedge.measure.doctor.findings import Finding
from capsedge.processor import Processor, in_words
from capsedge.runtime.ort.saturation import int8_saturates
from capsedge.runtime.ort.wheels import load_onnxruntime

SUBJECT = "Processor"


def find_processor(processor: Processor | None) -> Finding:
    """Name the instruction sets for fp32, int8 and bf16, and compute the largest possible int8 products.

    Args:
        processor: `Machine.processor`.
    """
    sets = "instruction sets unavailable" if processor is None else " ".join(processor.instruction_sets)
    detail = sets if processor is None else f"{sets}: {in_words(processor)}"
    try:
        saturates = int8_saturates(load_onnxruntime())
    except CapsedgeError:
        return Finding(SUBJECT, "installed", detail, code="no-onnxruntime")
    if saturates:
        code = "int8-saturates"
        outcome = (
            "in a test run, the largest int8 sums saturate: files with weights of 7 bits, as capsedge exports them, "
            "are still exact; others run with exact kernels where ONNX Runtime has them, which take longer"
        )
    else:
        outcome, code = "in a test run, the largest int8 sums are exact", ""
    return Finding(SUBJECT, "works", f"{detail}; {outcome}", code=code)
