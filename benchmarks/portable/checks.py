"""What is checked on a processor: the commands of the edge, and the gate on a file in fp32 and files in int8."""

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

FEWEST = 2  # images that may turn wrong: of 100 images one is a point, which is twice what int8 may lose


class CheckMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """What a check measured.

    Attributes:
        passed: Whether it is as it must be.
        said: What else there is to say, in a few words.
        images: Images that the processor saw.
        largest_length_difference: To what is expected, over all images and classes; None where one is no number.
        same_answer: Share of the images with the answer that is expected.
        difference_to_here: Largest difference of a length to what the same file gives on this machine's own
            processor, with exact kernels; None where that is what is expected, or it was not asked.
        processor: The emulated processor, as it tells itself; None where it was not asked.
        versions: Of Python and ONNX Runtime there; empty likewise.
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
    """A check on a processor, and how it ended.

    Attributes:
        processor: The processor, by its name on the command line.
        check: What was checked.
        status: How it ended.
        reason: Why it did not run to its end; "" where it did.
        found: What it measured; None where it did not.
        emulator: QEMU and its version.
        seconds: How long it took, with the start of the emulator. It says nothing about the processor.
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
    """`capsedge verify`: the golden sample, replayed there."""
    replayed = msgspec.json.decode(_capsedge(python, "verify", str(files.fp32)), type=Verification)
    return CheckMeasurement(
        passed=replayed.ok,
        said="; ".join(replayed.problems),
        images=replayed.images,
        largest_length_difference=replayed.largest_difference,
        same_answer=replayed.same_class / replayed.images,
    )


def infer(python: Python, files: JudgedFiles) -> CheckMeasurement:
    """`capsedge infer` on the samples, beside what this machine's own processor says of them."""
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
    """What `capsedge WORDS --json` prints on a processor, also where it finds the model wrong."""
    command = python.command("-m", "capsedge", *words, "--json")
    done = subprocess.run(
        command,
        env=python.environment,
        capture_output=True,
        check=False,
        timeout=LIMIT_S,
        stdin=subprocess.DEVNULL,
    )
    if not done.stdout or done.returncode not in (0, 1):  # 1 where it finds the model wrong
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
    """The gate, on what the processor computes.

    Args:
        python: A Python there.
        files: The files.
        kind: Which of them.
        exact: `Settings.exact_int8`.
    """
    precision: Precision = "fp32" if kind == "fp32" else "int8"
    settings = Settings(threads=1, exact_int8=exact)
    file: Path = getattr(files, kind)
    expected = files.expected
    if kind == "int8":  # the proof from the weights too, as in an export; the file with 8 bits is there to be run
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
        reasons.append(f"a length differs by {to_here:.2g} from here, more than {tolerance.replay:g}")
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
    """Check everything on every processor; each check has emulators of its own, and some run at once.

    Args:
        processors: The processors.
        files: The files.
        tell: Is told of each result.
        jobs: How many checks run at once.
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
            pool.shutdown(cancel_futures=True)  # Ctrl-C shall not start the next one
            raise
    return found


def check_one(name: str, processor: EmulatedProcessor, python: Python, files: JudgedFiles) -> Checked:
    """One check on one processor."""
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
