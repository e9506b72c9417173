"""Measurements of a file on labelled images: errors, confusion, and the reliability of the lengths."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.card.record import ClassError, FileFacts, FileResult, WrongAnswer
from capsedge.export.trial import lengths_of_all
from capsedge.files import sha256_of
from capsedge.measure.evaluate.measure import calibration_error, reliability
from capsedge.runtime.open import open_session
from capsedge.scoring import confusion, wrong_answers

Lengths = NDArray[np.float32]
Labels = NDArray[np.int64]

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
) -> FileResult:
    """The measurements of one file.

    Args:
        file: The file.
        validation: Its lengths on the validation images, and their labels.
        test: Its lengths on the test images, and their labels.
        subset: Indices of the subset's images among the test images; None for other data.
    """
    lengths, labels = test
    facts, bins = facts_of(file), reliability(lengths, labels)
    return FileResult(
        file=file.name,
        size_bytes=facts.size_bytes,
        sha256=facts.sha256,
        validation_error=error(*validation),
        test_error=error(lengths, labels),
        subset_error=None if subset is None else error(lengths[subset], labels[subset]),
        confusion=tuple(map(tuple, confusion(lengths, labels).tolist())),
        reliability=bins,
        calibration_error=calibration_error(bins),
        mistakes=mistakes(lengths, labels),
    )


def facts_of(file: Path) -> FileFacts:
    """Size and SHA-256 of a file."""
    return FileFacts(size_bytes=file.stat().st_size, sha256=sha256_of(file))


def mistakes(lengths: Lengths, labels: Labels) -> tuple[WrongAnswer, ...]:
    """The wrong answers with the longest capsules, longest first."""
    given = lengths.argmax(1)
    wrong = np.flatnonzero(given != labels)
    first = wrong[np.argsort(-lengths[wrong].max(1), kind="stable")][:MISTAKES]
    return tuple(
        WrongAnswer(
            image=image,
            label=int(labels[image]),
            answer=int(given[image]),
            length=round(float(lengths[image].max()), 6),
            length_of_label=round(float(lengths[image, labels[image]]), 6),
        )
        for image in first.tolist()
    )


def class_errors(confused: tuple[tuple[int, ...], ...]) -> tuple[ClassError, ...]:
    """The error of each class, from the confusion matrix; every class must have images."""
    return tuple(
        ClassError(
            label=label, images=sum(row), error=(sum(row) - row[label]) / sum(row), taken_for=_taken_for(label, row)
        )
        for label, row in enumerate(confused)
    )


def _taken_for(label: int, row: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The most frequent wrong answers of a class; of equal counts the first class comes first."""
    others = [(other, count) for other, count in enumerate(row) if count and other != label]
    return tuple(sorted(others, key=lambda each: -each[1])[:TAKEN_FOR])
