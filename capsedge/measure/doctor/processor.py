"""What is found about the processor: its instruction sets, and whether int8 sums are exact here, proved by a run."""

from capsedge.errors import CapsedgeError
from capsedge.measure.doctor.findings import Finding
from capsedge.processor import Processor, in_words
from capsedge.runtime.ort.saturation import int8_saturates
from capsedge.runtime.ort.wheels import load_onnxruntime

SUBJECT = "Processor"


def find_processor(processor: Processor | None) -> Finding:
    """Tell what fp32, int8 and bf16 mean on the processor, and run the largest int8 products that there are.

    Args:
        processor: `Machine.processor`.
    """
    sets = "instruction sets unavailable" if processor is None else " ".join(processor.instruction_sets)
    told = sets if processor is None else f"{sets}: {in_words(processor)}"
    try:
        saturates = int8_saturates(load_onnxruntime())
    except CapsedgeError:
        return Finding(SUBJECT, "installed", told, code="no-onnxruntime")
    if saturates:
        code = "int8-saturates"
        proved = (
            "tried here, the largest int8 sums saturate: files with weights of 7 bits, as capsedge exports them, are "
            "exact all the same; others run with exact kernels where ONNX Runtime has them, which take longer"
        )
    else:
        proved, code = "tried here, the largest int8 sums are exact", ""
    return Finding(SUBJECT, "works", f"{told}; {proved}", code=code)
