"""The checks on a processor: the commands of the edge, and the gate on a file in fp32 and files in int8."""

import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.portable.emulators import HOST, ROOT, EmulatedProcessor, NotPossible, Python, python_on
from benchmarks.portable.files import COMPARED, JudgedFiles, Kind
from benchmarks.portable.worker import LIMIT_S, EmulatedSession, reason
from capsedge.contract import Precision
from capsedge.errors import ModelError
from capsedge.export.gate import judge, tolerance_of
from capsedge.export.trial import lengths_of_all
from capsedge.processor import Processor
from capsedge.runtime.infer.classify import Prediction
from capsedge.runtime.int8_pairs import int8_pairs
from capsedge.runtime.settings import Settings
from capsedge.runtime.verify import Verification

Status = Literal["passed", "failed", "skipped"]

FEWEST = 2  # accepted additional wrong answers: one of 100 images is a point, twice the limit of int8


class CheckMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of a check.

    Attributes:
        passed: Whether the result is as required.
        said: Further remarks for the table.
        images: Number of images that the processor computed.
        largest_length_difference: Largest difference from the expected lengths, over all images and classes; None if
            a length is NaN.
        same_answer: Share of the images with the expected answer.
        difference_to_here: Largest difference from the lengths of the same file on this machine's own processor, with
            exact kernels; None if those are the expected lengths, or were not computed.
        processor: The emulated processor, as detected there; None if unknown.
        versions: Versions of Python and ONNX Runtime there; empty if unknown.
    """

    passed: bool
    said: str
    images: int
    largest_length_difference: float | None
    same_answer: float
    difference_to_here: float | None = None
    processor: Processor | None = None
    versions: dict[str, str] = {}


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A check on a processor, and its result.

    Attributes:
        processor: The processor, by its name on the command line.
        check: Name of the check.
        status: Its result.
        reason: Why it did not complete; "" if it did.
        found: Its measurements; None if it did not complete.
        emulator: QEMU and its version.
        seconds: Duration with the start of the emulator; no measure of the processor's speed.
    """

    processor: str
    check: str
    status: Status
    reason: str = ""
    found: CheckMeasurement | None = None
    emulator: str = ""
    seconds: float = 0.0


Check = Callable[[Python, JudgedFiles], CheckMeasurement]


def verify(python: Python, files: JudgedFiles) -> CheckMeasurement:
    """`capsedge verify`: replays the golden sample on the processor."""
    replayed = msgspec.json.decode(_capsedge(python, "verify", str(files.fp32)), type=Verification)
    return CheckMeasurement(
        passed=replayed.ok,
        said="; ".join(replayed.problems),
        images=replayed.images,
        largest_length_difference=replayed.largest_difference,
        same_answer=replayed.same_class / replayed.images,
    )


def infer(python: Python, files: JudgedFiles) -> CheckMeasurement:
    """`capsedge infer` on the samples, compared with this machine's own processor."""
    words = ("infer", str(ROOT / "samples"), "--model", str(files.fp32), "--top", "10")
    ours, theirs = (_predictions(_capsedge(each, *words)) for each in (python, HOST))
    same = [our.class_name == their.class_name for our, their in zip(ours, theirs, strict=True)]
    largest = float(np.abs(_by_class(ours) - _by_class(theirs)).max())
    return CheckMeasurement(
        passed=all(same) and largest <= tolerance_of("fp32").length,
        said="",
        images=len(same),
        largest_length_difference=largest,
        same_answer=sum(same) / len(same),
    )


def _capsedge(python: Python, *words: str) -> bytes:
    """The stdout of `capsedge WORDS --json` on a processor, also if the command rejects the model."""
    command = python.command("-m", "capsedge", *words, "--json")
    done = subprocess.run(
        command,
        env=python.environment,
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    if not done.stdout or done.returncode not in (0, 1):  # 1: the model is rejected
        raise ModelError(f"capsedge {words[0]}: {reason(done.returncode, done.stderr.decode(errors='replace'))}")
    return done.stdout


def _predictions(lines: bytes) -> list[Prediction]:
    return [msgspec.json.decode(line, type=Prediction) for line in lines.splitlines()]


def _by_class(predictions: Sequence[Prediction]) -> NDArray[np.float64]:
    """The lengths of all classes: [images, classes], the classes in the order of their names."""
    guesses = [(*each.answer, *each.next_best) for each in predictions]
    return np.array(
        [[guess.length for guess in sorted(each, key=lambda guess: guess.class_name)] for each in guesses]
    )


def gate(python: Python, files: JudgedFiles, *, kind: Kind, exact: bool = False) -> CheckMeasurement:
    """The gate on the outputs of the processor.

    Args:
        python: A Python on the processor.
        files: The files.
        kind: The file to check.
        exact: `Settings.exact_int8`.
    """
    precision: Precision = "fp32" if kind == "fp32" else "int8"
    settings = Settings(threads=1, exact_int8=exact)
    file: Path = getattr(files, kind)
    expected = files.expected
    if kind == "int8":  # with the proof from the weights, as in an export; the 8-bit file must run without it
        contract = msgspec.structs.replace(expected.contract, int8_pairs=int8_pairs(file))
        expected = replace(expected, contract=contract)
    with EmulatedSession(file, python, expected.contract, settings) as session:
        tolerance = tolerance_of(precision)
        tolerance = replace(tolerance, error_increase=max(tolerance.error_increase, FEWEST / len(expected.labels)))
        verdict = judge(session, expected, tolerance).verdict
        lengths = lengths_of_all(session, files.expected.validation.images[:COMPARED])
        ready = session.ready
    to_here = float(np.abs(lengths - files.here[kind]).max())
    reasons = list(verdict.reasons)
    if not to_here <= tolerance.replay:
        reasons.append(f"a length differs by {to_here:.2g} from that on this machine, more than {tolerance.replay:g}")
    saturates = ready.processor is not None and ready.processor.int8_saturates
    must_fail = kind == "wide" and not exact and saturates
    return CheckMeasurement(
        passed=bool(reasons) is must_fail,
        said=_in_words(verdict.error, reasons, must_fail=must_fail),
        images=verdict.images,
        largest_length_difference=verdict.largest_length_difference,
        same_answer=verdict.top1_agreement or 0.0,
        difference_to_here=to_here,
        processor=ready.processor,
        versions=ready.versions,
    )


def _in_words(error: float | None, reasons: Sequence[str], *, must_fail: bool) -> str:
    rate = "no error rate" if error is None else f"error {100 * error:.2f} %"
    if must_fail:
        return f"{rate}, {'rejected as it must be' if reasons else 'accepted, and its sums must saturate here'}"
    return "; ".join((rate, *reasons))


CHECKS: dict[str, Check] = {
    "verify": verify,
    "infer": infer,
    "gate, fp32": partial(gate, kind="fp32"),
    "gate, int8": partial(gate, kind="int8"),
    "8-bit weights": partial(gate, kind="wide"),
    "8-bit weights, exact kernels": partial(gate, kind="wide", exact=True),
}


def check_all(
    processors: Sequence[EmulatedProcessor], files: JudgedFiles, tell: Callable[[Checked], None], jobs: int
) -> list[Checked]:
    """Run all checks on every processor, in parallel; each check starts its own emulators.

    Args:
        processors: The processors.
        files: The files.
        tell: Called with each result.
        jobs: Number of parallel checks.
    """
    found: list[Checked] = []
    with ThreadPoolExecutor(jobs) as pool:
        running: list[Future[Checked]] = []
        for processor in processors:
            try:
                python = python_on(processor)
            except NotPossible as why:
                skipped = partial(Checked, processor=processor.name, status="skipped", reason=str(why))
                found += [skipped(check=name) for name in CHECKS]
                tell(found[-1])
            else:
                running += [pool.submit(check_one, name, processor, python, files) for name in CHECKS]
        try:
            for future in as_completed(running):
                found.append(future.result())
                tell(found[-1])
        except BaseException:
            pool.shutdown(cancel_futures=True)  # start no further check after Ctrl-C
            raise
    return found


def check_one(name: str, processor: EmulatedProcessor, python: Python, files: JudgedFiles) -> Checked:
    """Run one check on one processor."""
    start = perf_counter()
    result, why = None, ""
    try:
        result = CHECKS[name](python, files)
    except (ModelError, msgspec.MsgspecError, subprocess.TimeoutExpired) as error:
        why = str(error)
    return Checked(
        processor=processor.name,
        check=name,
        status="passed" if result is not None and result.passed else "failed",
        reason=why,
        found=result,
        emulator=python.emulator,
        seconds=round(perf_counter() - start, 1),
    )
