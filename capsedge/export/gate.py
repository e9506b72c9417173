"""The gate: a file is accepted only after it computed, here and on real images, what the network computes."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.contract import Contract, Verdict
from capsedge.data import Split
from capsedge.models import CapsNet
from capsedge.runtime.session import Session
from capsedge.scoring import wrong_answers
from capsedge.training import lengths_of

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Tolerance:
    """What a file of one precision may differ from the network.

    Attributes:
        length: Largest absolute difference of a capsule's length.
        agreement: Smallest share of images with the same answer: the same longest capsule, or the same set of them
            where an image shows several classes; two that tie within the tolerance may swap.
    """

    length: float
    agreement: float


# fp32 differs by the order of sums alone: 1e-6 is usual.
TOLERANCES = {"fp32": Tolerance(length=1e-4, agreement=0.999)}

# What a file's contract must say as its run does: with other words the right numbers would be read wrongly.
PROMISES = ("classes", "labels", "input", "fit")

# (images, batch): one by one as at the edge, an odd batch, then every image in the largest batch.
BATCHES = ((32, 1), (35, 7), (None, 250))


@dataclass(frozen=True)
class Reference:
    """What the trained network, uncollapsed and in fp32, says.

    Attributes:
        contract: What a file of this network promises, before any verdict.
        split: The labelled validation images.
        lengths: [images, classes].
        blank: The all-black and the all-white image, uint8 [2, height, width, channels].
        blank_lengths: [2, classes].
    """

    contract: Contract
    split: Split
    lengths: NDArray[np.float32]
    blank: NDArray[np.uint8]
    blank_lengths: NDArray[np.float32]


@dataclass(frozen=True)
class Judgement:
    """The verdict, and the file's error rate on the validation images, 0 to 1."""

    verdict: Verdict
    error: float


def reference(network: CapsNet, contract: Contract, split: Split) -> Reference:
    """Compute once what every exported file of a network is held against."""
    shape = split.images.shape[1:]
    blank = np.stack([np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)])
    blanks = Split(images=blank, labels=np.zeros(2, np.int64))
    return Reference(
        contract=contract,
        split=split,
        lengths=lengths_of(network, split, CPU).numpy(),
        blank=blank,
        blank_lengths=lengths_of(network, blanks, CPU).numpy(),
    )


def judge(session: Session, expected: Reference, tolerance: Tolerance) -> Judgement:
    """Run a file on every validation image, at several batch sizes, and compare it with the network."""
    images, labels = expected.split.images, expected.split.labels
    pairs = [(expected.blank, expected.blank_lengths)]
    for count, batch in BATCHES:
        pairs += _batches(images[:count], expected.lengths[:count], batch)
    measured = [session.run(batch).lengths for batch, _ in pairs]
    got, wanted = np.concatenate(measured), np.concatenate([lengths for _, lengths in pairs])
    every = got[-len(labels) :]  # the last of BATCHES saw every image
    answer = expected.contract.answer(every)
    difference = float(np.abs(got - wanted).max())
    agreement = float(_agree(answer, expected.lengths, tolerance).mean())
    reasons = tuple(_reasons(session, expected, got, difference, agreement, tolerance))
    verdict = Verdict(
        status="rejected" if reasons else "accepted",
        provider=session.provider,
        images=len(labels),
        largest_length_difference=difference if np.isfinite(difference) else None,
        top1_agreement=agreement,
        reasons=reasons,
    )
    return Judgement(verdict, float(wrong_answers(every, labels).mean()))


def _reasons(
    session: Session,
    expected: Reference,
    got: NDArray[np.float32],
    difference: float,
    agreement: float,
    tolerance: Tolerance,
) -> Iterator[str]:
    """One sentence for each broken promise."""
    if session.contract is not None:
        for promise in PROMISES:
            claimed, true = getattr(session.contract, promise), getattr(expected.contract, promise)
            if claimed != true:
                yield f"its contract has {promise} {claimed}, and the run has {true}"
    if not np.isfinite(got).all():
        yield f"{int((~np.isfinite(got)).sum())} of {got.size} lengths are NaN or infinite"
    elif not difference <= tolerance.length:
        yield f"a length differs by {difference:.2g}, more than {tolerance.length:g}"
    if agreement < tolerance.agreement:
        yield f"the answer is the same on {100 * agreement:.2f} % of the images, not {100 * tolerance.agreement:g} %"


def _agree(answer: NDArray[np.intp], wanted: NDArray[np.float32], tolerance: Tolerance) -> NDArray[np.bool_]:
    """Where the answer's classes are the network's, or tie within the tolerance with those that they replace."""
    shortest_chosen = np.take_along_axis(wanted, answer, axis=1).min(1)
    others = wanted.copy()
    np.put_along_axis(others, answer, -np.inf, axis=1)
    agrees: NDArray[np.bool_] = shortest_chosen >= others.max(1) - 2 * tolerance.length
    return agrees


def _batches(
    images: NDArray[np.uint8], lengths: NDArray[np.float32], batch: int
) -> list[tuple[NDArray[np.uint8], NDArray[np.float32]]]:
    return [(images[start : start + batch], lengths[start : start + batch]) for start in range(0, len(images), batch)]
