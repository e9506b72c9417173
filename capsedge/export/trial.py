"""Judging one file: run on this machine if possible, otherwise emulated in fp32."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from capsedge.contract import Verdict, contract_of
from capsedge.data import Split
from capsedge.errors import ModelError
from capsedge.export.gate import Judgement, Reference, Tolerance, failed, judge
from capsedge.export.onnx import load_graph, save_with_contract
from capsedge.export.precision import emulated, emulated_types
from capsedge.golden import unpack_images
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.batches import in_batches, run_batches
from capsedge.runtime.open import open_session
from capsedge.runtime.session import Session
from capsedge.scoring import wrong_answers

BATCH = 250


@dataclass(frozen=True)
class Trial:
    """The result of judging one file.

    Attributes:
        judgement: The judgement.
        test_error: Error on the test images, 0 to 1; None if the file was rejected.
        golden_lengths: The file's lengths of the golden images, [images, classes]; None if the file was rejected.
    """

    judgement: Judgement
    test_error: float | None = None
    golden_lengths: NDArray[np.float32] | None = None

    @property
    def rejected(self) -> bool:
        """Whether the file exceeds a limit."""
        return self.judgement.verdict.status == "rejected"


def tried(file: Path, expected: Reference, tolerance: Tolerance, test: Split) -> Trial:
    """Compare an ONNX file with the network.

    ONNX Runtime's CPU provider computes fp16 graphs in fp32, and supports neither bf16 nor fp8. So a file with fp16
    is judged twice, as it runs here and with every value rounded to fp16. A file with bf16 or fp8 is judged only by
    its emulation, and cannot be accepted, since it was not executed.

    Args:
        file: The file, with a contract.
        expected: Reference results of the network.
        tolerance: The limits of the file's precision.
        test: Test images, for the score.
    """
    types = emulated_types(load_graph(file))
    if types - {"fp16"}:
        names = " and ".join(sorted(types))
        how = f"{names} does not run here: the figures are of an emulation in fp32 with every value rounded"
        return _emulated(file, expected, tolerance, test, how)
    own = _run(file, expected, tolerance, test)
    return _both(own, _emulated(file, expected, tolerance, test, "fp16")) if types and not own.rejected else own


def lengths_of_all(session: Session, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Capsule lengths of images, [images, classes], from any file with an output `lengths`."""
    name = next(iter(session.axes()))
    parts = in_batches(session, images, BATCH)
    return np.concatenate([session.run_raw({name: part})["lengths"][:count] for part, count in parts])


def _run(file: Path, expected: Reference, tolerance: Tolerance, test: Split, *, emulated: str = "") -> Trial:
    try:
        with open_session(file) as session:
            judgement = judge(session, expected, tolerance, emulated=emulated)
            if judgement.verdict.status == "rejected":
                return Trial(judgement)
            wrong = wrong_answers(run_batches(session, test.images, BATCH).lengths, test.labels)
            golden = unpack_images(expected.contract.golden, expected.contract.input.shape)
            golden_lengths = run_batches(session, golden, BATCH).lengths
    except ModelError as error:  # the file does not run, or its outputs have other shapes
        return Trial(failed(str(error).replace(str(file), file.name), expected.validation.images))
    return Trial(judgement, float(wrong.mean()), golden_lengths)


def _emulated(file: Path, expected: Reference, tolerance: Tolerance, test: Split, how: str) -> Trial:
    """Judge the emulation of a file, with the file's contract."""
    contract = contract_of(read_onnx_file(file), source=str(file)) or expected.contract
    with tempfile.TemporaryDirectory(prefix="capsedge-") as folder:
        rounded = Path(folder, file.name)
        try:
            save_with_contract(emulated(load_graph(file)), contract, rounded)
        except (onnx.checker.ValidationError, KeyError, ValueError) as error:
            reason = f"its graph is invalid: {' '.join(str(error).split())}"
            return Trial(failed(reason, expected.validation.images))
        return _run(rounded, expected, tolerance, test, emulated=how)


def _both(own: Trial, rounded: Trial) -> Trial:
    """The verdict on a file with fp16: from its run here, with a remark on its emulation in fp16."""
    ours, theirs = own.judgement.verdict, rounded.judgement.verdict
    if rounded.rejected:
        reasons = tuple(f"in true fp16 arithmetic {reason}" for reason in theirs.reasons)
        verdict = msgspec.structs.replace(theirs, provider=ours.provider, reasons=reasons, remarks=ours.remarks)
        return Trial(replace(rounded.judgement, verdict=verdict))
    verdict = msgspec.structs.replace(ours, remarks=(*ours.remarks, _in_true_fp16(theirs)))
    return replace(own, judgement=replace(own.judgement, verdict=verdict))


def _in_true_fp16(verdict: Verdict) -> str:
    return (
        "this provider computes fp16 in fp32; with every value rounded to fp16 a length differs by "
        f"{verdict.largest_length_difference:.1e} at most and {verdict.mean_length_difference:.1e} on average, and "
        f"the error is {100 * (verdict.error or 0):.2f} %"
    )
