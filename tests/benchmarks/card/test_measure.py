"""What a card says of answers, on answers of which it can be counted by hand."""

import numpy as np
import pytest

from benchmarks.card.measure import class_errors, error, mistakes
from benchmarks.card.record import ClassError
from capsedge.measure.evaluate.measure import Bin, reliability
from capsedge.scoring import confusion

# Three classes, six images. The fourth and the fifth are wrong, the fifth with the longest capsule of all.
LENGTHS = np.array(
    [
        [0.62, 0.1, 0.2],
        [0.0, 0.68, 0.5],
        [0.3, 0.2, 0.95],
        [0.5, 0.66, 0.4],
        [0.05, 0.9, 1.0],
        [0.31, 0.3, 0.2],
    ],
    np.float32,
)
LABELS = np.array([0, 1, 2, 0, 1, 0])


def test_the_error_is_the_share_of_images_whose_longest_capsule_is_anothers() -> None:
    assert error(LENGTHS, LABELS) == pytest.approx(2 / 6)


def test_the_confusion_has_the_class_down_and_the_answer_across() -> None:
    assert confusion(LENGTHS, LABELS).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]


def test_each_class_is_told_with_what_it_is_most_often_taken_for() -> None:
    counts = ((70, 2, 20, 8), (0, 9, 0, 0), (3, 3, 4, 1), (1, 0, 0, 1))

    assert class_errors(counts) == (
        ClassError(label=0, images=100, error=0.3, taken_for=((2, 20), (3, 8))),
        ClassError(label=1, images=9, error=0.0, taken_for=()),
        ClassError(label=2, images=11, error=7 / 11, taken_for=((0, 3), (1, 3))),
        ClassError(label=3, images=2, error=0.5, taken_for=((0, 1),)),
    )


def test_the_mistakes_are_told_by_the_length_of_their_answer_longest_first() -> None:
    first, second = mistakes(LENGTHS, LABELS)

    assert (first.image, first.label, first.answer, first.length, first.length_of_label) == (4, 1, 2, 1.0, 0.9)
    assert (second.image, second.label, second.answer) == (3, 0, 1)
    assert (second.length, second.length_of_label) == pytest.approx((0.66, 0.5))


def test_lengths_are_held_against_accuracy_in_ranges_and_a_length_of_1_is_in_the_last() -> None:
    bins = reliability(LENGTHS, LABELS)

    wanted = [
        Bin(low=0.3, high=0.4, images=1, length=0.31, accuracy=1.0),
        Bin(low=0.6, high=0.7, images=3, length=(0.62 + 0.68 + 0.66) / 3, accuracy=2 / 3),
        Bin(low=0.9, high=1.0, images=2, length=0.975, accuracy=0.5),
    ]
    for found, each in zip(bins, wanted, strict=True):
        assert (found.low, found.high, found.images) == (each.low, each.high, each.images)
        assert (found.length, found.accuracy) == pytest.approx((each.length, each.accuracy), abs=1e-6)
