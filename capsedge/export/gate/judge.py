"""The verdict on a file: the measured differences compared with the limits of its precision."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract, FailedTraining, Verdict
from capsedge.data.own import UNEVEN
from capsedge.export.gate.measure import Deviation, measure
from capsedge.export.gate.reference import Reference
from capsedge.export.gate.tolerance import TIE, Tolerance, is_unproved
from capsedge.outside import one_line
from capsedge.plural import number_of, plural
from capsedge.runtime.int8_pairs import in_words
from capsedge.runtime.session import Session
from capsedge.scoring import balanced_error, chance_error, confusion, never_answered, wrong_answers
from capsedge.statistics import Difference, at_chance, paired_difference

# Fields in which a file's contract must equal its run: otherwise correct outputs are interpreted wrongly.
PROMISES = ("classes", "labels", "input", "fit")

WORST, ORDINARY = 4, 4  # images to trace


@dataclass(frozen=True)
class Judgement:
    """The verdict, with the data to locate the cause of a rejection.

    Attributes:
        verdict: The verdict.
        telling: Images for `localize`, those whose lengths differ most and a few others: uint8 [images, height,
            width, channels].
        computes_wrong: Whether the file's outputs exceed a limit here. False if only its contract is wrong, or if
            only another processor may compute something else.
    """

    verdict: Verdict
    telling: NDArray[np.uint8]
    computes_wrong: bool = True

    @property
    def error(self) -> float:
        """The file's error rate on the validation images, 0 to 1; 1 if it did not run."""
        return 1.0 if self.verdict.error is None else self.verdict.error


def judge(session: Session, expected: Reference, tolerance: Tolerance, *, emulated: str = "") -> Judgement:
    """Run a file on every validation image, at several batch sizes, and compare it with the network.

    Args:
        session: The file.
        expected: Reference results of the network.
        tolerance: The limits of the file's precision.
        emulated: How the session emulates the file; "" if it runs the file itself. An emulated file is rejected if it
            exceeds a limit, but cannot be accepted, since it was not executed.

    Raises:
        ModelError: The file does not run, or its outputs have other shapes: see `failed`.
    """
    found = measure(session, expected)
    answer = expected.contract.answer(found.lengths)
    agreement = float(_agree(answer, expected.validation.lengths).mean())
    ours = wrong_answers(found.lengths, expected.labels)
    theirs = wrong_answers(expected.validation.lengths, expected.labels)
    change = paired_difference([ours], [theirs])
    unseen = (*_broken_promises(session, expected), *_may_saturate(expected.contract))
    reasons = (
        *unseen,
        *_broken_numbers(found),
        *_broken_limits(found, tolerance),
        *_broken_answers(agreement, change, float(theirs.mean()), tolerance),
    )
    verdict = Verdict(
        status="rejected" if reasons else "not executed here" if emulated else "accepted",
        provider="" if emulated else session.provider,
        processor=None if emulated else session.processor,
        images=len(expected.labels),
        largest_length_difference=_finite(found.length),
        mean_length_difference=_finite(found.mean),
        largest_pose_difference=_finite(found.pose),
        difference_between_batches=_finite(found.batch),
        top1_agreement=agreement,
        error=float(ours.mean()),
        error_change=change,
        largest_reconstruction_difference=None if found.pixel is None else _finite(found.pixel),
        limits=tolerance.limits(drawn=found.pixel is not None),
        reasons=reasons,
        failed_training=_failed_training(expected, float(theirs.mean())),
        remarks=tuple(
            filter(
                None,
                (
                    emulated,
                    *_classes(found, expected),
                    _too_few(len(ours), found, change, tolerance),  # last: `export` prints what to do after it
                ),
            )
        ),
    )
    return Judgement(verdict, _telling(found, expected), len(reasons) > len(unseen))


def failed(reason: str, images: NDArray[np.uint8]) -> Judgement:
    """The judgement of a file that does not run, or whose outputs have other shapes.

    Args:
        reason: The reason, as one clause.
        images: Validation images; the first of them are traced.
    """
    return Judgement(Verdict(status="rejected", reasons=(reason,)), images[:ORDINARY])


def not_executed(remark: str) -> Verdict:
    """The verdict on a file that this machine can neither run nor emulate; the remark names the machine it needs."""
    return Verdict(status="not executed here", remarks=(remark,))


def _agree(answer: NDArray[np.intp], wanted: NDArray[np.float32]) -> NDArray[np.bool_]:
    """For each image, whether the answer's classes are the network's, or tie with those that they replace (`TIE`)."""
    shortest_chosen = np.take_along_axis(wanted, answer, axis=1).min(1)
    others = wanted.copy()
    np.put_along_axis(others, answer, -np.inf, axis=1)
    agrees: NDArray[np.bool_] = shortest_chosen >= others.max(1) - TIE
    return agrees


def _broken_promises(session: Session, expected: Reference) -> Iterator[str]:
    if session.contract is None:
        return
    for promise in PROMISES:
        claimed, true = getattr(session.contract, promise), getattr(expected.contract, promise)
        if claimed != true:
            yield f"its contract has {promise} {claimed}, but the run has {true}"


def _may_saturate(contract: Contract) -> Iterator[str]:
    """The one fault that may not occur on the processor that runs the gate."""
    pairs = contract.int8_pairs
    if pairs is not None and not pairs.fit:
        yield f"{in_words(pairs)}: quantize to weights of 7 bits, as capsedge export does"


def _broken_numbers(found: Deviation) -> Iterator[str]:
    for name, broken in found.broken.items():
        if broken:
            yield f"{broken} of {found.seen[name]} {name} are NaN or infinite"


def _broken_limits(found: Deviation, tolerance: Tolerance) -> Iterator[str]:
    """One sentence for each difference beyond its limit; `_broken_numbers` reports NaN."""
    if found.broken.total():
        return
    if found.length > tolerance.length:
        yield f"a length differs by {found.length:.2g}, more than {tolerance.length:g}"
    if found.mean > tolerance.mean_length:
        yield f"the lengths differ by {found.mean:.2g} on average, more than {tolerance.mean_length:g}"
    if found.pose > tolerance.pose:
        yield f"a component of a pose differs by {found.pose:.2g}, more than {tolerance.pose:g}"
    if found.batch > tolerance.batch:
        size, largest = found.batch_sizes
        yield (
            f"a length of one image differs by {found.batch:.2g} between batches of {size} and of {largest}, "
            f"more than {tolerance.batch:g}"
        )
    if found.pixel is not None and found.pixel > tolerance.pixel:
        yield f"a pixel of the reconstruction differs by {found.pixel:.2g}, more than {tolerance.pixel:g}"


def _broken_answers(agreement: float, change: Difference, theirs: float, tolerance: Tolerance) -> Iterator[str]:
    if agreement < tolerance.agreement:
        yield f"the answer is the same on {100 * agreement:.2f} % of the images, not {100 * tolerance.agreement:g} %"
    if change.mean > tolerance.error_increase:
        yield (
            f"the error rises by {100 * change.mean:.2f} points ({100 * change.low:.2f} to {100 * change.high:.2f}) "
            f"from {100 * theirs:.2f} %, more than {100 * tolerance.error_increase:g}"
        )


_AGAIN = "train it again, to its end, and follow the warning that the training then gives"


def _failed_training(expected: Reference, error: float) -> FailedTraining | None:
    """Whether the trained network itself is no better than chance; the advice is that of its training."""
    lengths, classes, labels = expected.validation.lengths, len(expected.contract.classes), expected.contract.labels
    chance = chance_error(classes, labels)
    figures = f"error {100 * error:.2f} %, chance {100 * chance:.2f} %"
    if len(lengths) > 1 and np.ptp(lengths, axis=0).max() <= TIE:
        told = f"; its training warned: {expected.warning}" if expected.warning else f": {_AGAIN}"
        text = f"the trained network gives every image the same lengths ({figures}){told}"
        return FailedTraining(code="same-lengths", text=text, error=error, chance=chance)
    if at_chance(error, len(lengths), chance):
        text = expected.warning or f"the trained network is at chance ({figures}): {_AGAIN}"
        return FailedTraining(code="at-chance", text=text, error=error, chance=chance)
    return None


def _too_few(images: int, found: Deviation, change: Difference, tolerance: Tolerance) -> str:
    """A remark if the images do not prove the limit of the error."""
    if not is_unproved(change, tolerance.error_increase, _finite(found.length)):
        return ""
    return (
        f"{number_of(images, 'validation image')} {plural(images, 'leaves', 'leave')} a rise of the error by up to "
        f"{100 * change.high:.2f} points possible (95 %), so the limit of {100 * tolerance.error_increase:g} is not "
        "proved"
    )


def _classes(found: Deviation, expected: Reference) -> Iterator[str]:
    """Remarks on single classes, which the error does not show."""
    if expected.labels.ndim > 1:
        return
    counts = confusion(found.lengths, expected.labels)
    images = np.bincount(expected.labels, minlength=len(counts))
    if len(never := never_answered(counts, images)):
        names = ", ".join(one_line(expected.contract.classes[label]) for label in never.tolist())
        yield f"never answered on the validation images: {names}"
    there = images[images > 0]
    if there.max() > UNEVEN * there.min():
        yield f"the classes differ in images; the balanced error is {100 * balanced_error(counts, images):.2f} %"


def _telling(found: Deviation, expected: Reference) -> NDArray[np.uint8]:
    worst = np.argsort(-found.worst, kind="stable")[:WORST]
    validation, blank = expected.validation.images, expected.blank.images
    count = len(validation)
    chosen = [validation[index] if index < count else blank[index - count] for index in worst]
    return np.concatenate([np.stack(chosen), validation[:ORDINARY]])


def _finite(difference: float) -> float | None:
    return difference if np.isfinite(difference) else None
