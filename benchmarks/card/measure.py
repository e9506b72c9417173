"""What a file answers on labelled images: its errors, what it confuses, and how far a length can be trusted."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.card.record import Bin, ClassError, FileFacts, Measured, Mistake
from capsedge.export.trial import lengths_of_all
from capsedge.files import sha256_of
from capsedge.runtime.open import open_session
from capsedge.scoring import wrong_answers

Lengths = NDArray[np.float32]
Labels = NDArray[np.int64]

BINS = 10  # ranges of the longest length, as in Guo et al. 2017 with fewer images
MISTAKES = 12
TAKEN_FOR = 2


def answers(file: Path, images: NDArray[np.uint8]) -> Lengths:
    """Capsule lengths of images by ONNX Runtime on the CPU, [images, classes]."""
    with open_session(file) as session:
        return lengths_of_all(session, images)


def error(lengths: Lengths, labels: Labels) -> float:
    """Share of wrong answers, 0 to 1."""
    return float(wrong_answers(lengths, labels).mean())


def measured(
    file: Path, validation: tuple[Lengths, Labels], test: tuple[Lengths, Labels], subset: NDArray[np.intp] | None
) -> Measured:
    """All that is said of one file.

    Args:
        file: The file.
        validation: Its lengths of the validation images, and their labels.
        test: Those of the test images.
        subset: Places of the subset's images among the test images; None where the data is another.
    """
    lengths, labels = test
    facts, bins = facts_of(file), reliability(lengths, labels)
    return Measured(
        file=file.name,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        validation_error=error(*validation),
        test_error=error(lengths, labels),
        subset_error=None if subset is None else error(lengths[subset], labels[subset]),
        confusion=confusion(lengths, labels),
        reliability=bins,
        calibration_error=sum(each.images * abs(each.accuracy - each.length) for each in bins) / len(labels),
        mistakes=mistakes(lengths, labels),
    )


def facts_of(file: Path) -> FileFacts:
    """Size and SHA-256 of a file."""
    return FileFacts(size_bytes=file.stat().st_size, sha256=sha256_of(file))


def confusion(lengths: Lengths, labels: Labels) -> tuple[tuple[int, ...], ...]:
    """Images by their class (row) and the answer (column)."""
    classes = lengths.shape[1]
    counts = np.bincount(labels * classes + lengths.argmax(1), minlength=classes**2)
    return tuple(tuple(row) for row in counts.reshape(classes, classes).tolist())


def reliability(lengths: Lengths, labels: Labels) -> tuple[Bin, ...]:
    """The images by their longest length, in ranges of equal width; a length of exactly 1 is in the last."""
    longest, right = lengths.max(1).astype(np.float64), lengths.argmax(1) == labels
    places = np.minimum((longest * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            images=int(mine.sum()),
            length=float(longest[mine].mean()),
            accuracy=float(right[mine].mean()),
        )
        for place in np.unique(places).tolist()
        for mine in [places == place]
    )


def mistakes(lengths: Lengths, labels: Labels) -> tuple[Mistake, ...]:
    """The wrong answers with the longest capsules, longest first."""
    given = lengths.argmax(1)
    wrong = np.flatnonzero(given != labels)
    first = wrong[np.argsort(-lengths[wrong].max(1), kind="stable")][:MISTAKES]
    return tuple(
        Mistake(
            image=image,
            label=int(labels[image]),
            answer=int(given[image]),
            length=round(float(lengths[image].max()), 6),
            length_of_label=round(float(lengths[image, labels[image]]), 6),
        )
        for image in first.tolist()
    )


def class_errors(confused: tuple[tuple[int, ...], ...]) -> tuple[ClassError, ...]:
    """How each class fares, from the confusion; every class must have images."""
    return tuple(
        ClassError(
            label=label, images=sum(row), error=(sum(row) - row[label]) / sum(row), taken_for=_taken_for(label, row)
        )
        for label, row in enumerate(confused)
    )


def _taken_for(label: int, row: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The answers that a class gets most often beside the right one; of two equal ones the first class wins."""
    others = [(other, count) for other, count in enumerate(row) if count and other != label]
    return tuple(sorted(others, key=lambda each: -each[1])[:TAKEN_FOR])
