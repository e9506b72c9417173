"""Scoring, against the same counted image by image."""

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.scoring import answered, balanced_error, confusion, longest, never_answered, wrong_answers

NAN, INF = float("nan"), float("inf")
# Lengths, and the answer; None where a length is not finite.
ROWS: list[tuple[list[float], int | None]] = [
    ([0.9, 0.1, 0.2], 0),
    ([0.1, 0.8, 0.8], 1),  # of two equal lengths, the first
    ([0.1, 0.2, 0.7], 2),
    ([NAN, 0.9, 0.1], None),
    ([0.9, 0.1, NAN], None),
    ([0.2, INF, 0.1], None),
    ([0.2, 0.6, -INF], None),
    ([NAN, NAN, NAN], None),
]
LENGTHS = np.array([row for row, _ in ROWS], np.float32)


@pytest.mark.parametrize("label", [0, 1, 2])
def test_an_answer_is_right_if_it_is_the_label_and_all_lengths_are_finite(label: int) -> None:
    labels = np.full(len(ROWS), label)
    assert wrong_answers(LENGTHS, labels).tolist() == [answer != label for _, answer in ROWS]
    assert answered(LENGTHS).tolist() == [answer is not None for _, answer in ROWS]


def test_with_two_classes_in_an_image_both_must_be_the_longest() -> None:
    lengths = np.array([[0.9, 0.8, 0.1], [0.9, 0.1, 0.8], [0.9, 0.8, NAN]], np.float32)
    labels = np.array([[1, 0], [1, 0], [1, 0]])
    assert wrong_answers(lengths, labels).tolist() == [False, True, True]
    assert longest(lengths[:2], 2).tolist() == [[0, 1], [0, 2]]


def test_the_confusion_counts_the_images_with_an_answer_and_the_balanced_error_all() -> None:
    labels: NDArray[np.int64] = np.array([0, 0, 2, 1, 0, 1, 1, 2])
    counts = confusion(LENGTHS, labels)
    assert counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1]]
    images = np.bincount(labels)
    shares = [np.mean([ROWS[image][1] == label for image in np.flatnonzero(labels == label)]) for label in range(3)]
    assert balanced_error(counts, images) == pytest.approx(1 - np.mean(shares))
    assert balanced_error(counts) == pytest.approx(np.mean([1 / 2, 0]))


def test_a_class_is_never_answered_if_it_has_images_and_no_answer() -> None:
    counts = np.array([[2, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert never_answered(counts).tolist() == [1]
    assert never_answered(counts, np.array([2, 1, 3, 0])).tolist() == [1, 2]
