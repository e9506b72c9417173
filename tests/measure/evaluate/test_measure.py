"""What is said of answers, against the same counted image by image."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.measure.evaluate.measure import as_csv, compared, evaluated, mcnemar

CLASSES = ("ant", "bee", "cat", "dog")
# Longest capsule, its length, and the class; the class of the last is never answered, and of the third never shown.
ANSWERS = [
    *[("ant", 0.95, "ant"), ("ant", 0.85, "ant"), ("ant", 0.55, "bee"), ("bee", 0.45, "bee")],
    *[("bee", 1.0, "bee"), ("cat", 0.35, "ant"), ("bee", 0.65, "dog"), ("ant", 0.75, "dog")],
]
LABELS = np.array([CLASSES.index(label) for _, _, label in ANSWERS])


def lengths() -> NDArray[np.float32]:
    found = np.full((len(ANSWERS), 4), 0.1, np.float32)
    for row, (answer, length, _) in zip(found, ANSWERS, strict=True):
        row[CLASSES.index(answer)] = length
    return found


def found(**more: Any) -> Any:
    names = [f"{number}.png" for number in range(len(ANSWERS))]
    return evaluated(lengths(), LABELS, model="m", data="d", classes=CLASSES, names=names, **more)


def test_error_and_balanced_error() -> None:
    assert found().error == pytest.approx(4 / 8)
    assert found().balanced_error == pytest.approx(np.mean([1 / 3, 1 / 3, 2 / 2]))
    assert found().low < 0.5 < found().high


def test_every_class_has_its_recall_and_precision() -> None:
    ant, bee, cat, dog = found().classes
    assert (ant.images, ant.answered, ant.recall, ant.precision) == (3, 4, pytest.approx(2 / 3), pytest.approx(2 / 4))
    assert (bee.recall, bee.precision) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert (cat.images, cat.recall, cat.precision) == (0, None, 0.0)
    assert (dog.answered, dog.recall, dog.precision) == (0, 0.0, None)
    assert dog.taken_for == (("ant", 1), ("bee", 1))
    assert found().never_answered == ("dog",)
    assert found().confusion == ((2, 0, 1, 0), (1, 2, 0, 0), (0, 0, 0, 0), (1, 1, 0, 0))


def test_lengths_against_accuracy() -> None:
    by_range = {each.low: (each.images, round(each.length, 4), each.accuracy) for each in found().reliability}
    assert by_range == {
        0.3: (1, 0.35, 0.0),
        0.4: (1, 0.45, 1.0),
        0.5: (1, 0.55, 0.0),
        0.6: (1, 0.65, 0.0),
        0.7: (1, 0.75, 0.0),
        0.8: (1, 0.85, 1.0),
        0.9: (2, 0.975, 1.0),
    }
    apart = [0.35, 0.55, 0.55, 0.65, 0.75, 0.15, 0.05]
    assert found().calibration_error == pytest.approx(sum(apart) / 8, abs=1e-6)


@pytest.mark.parametrize(
    ("threshold", "answered", "error"), [(0.0, 1.0, 0.5), (0.6, 5 / 8, 2 / 5), (0.9, 2 / 8, 0.0)]
)
def test_a_threshold_leaves_images_without_an_answer(threshold: float, answered: float, error: float) -> None:
    (at,) = [each for each in found().thresholds if each.threshold == threshold]
    assert (at.answered, at.error) == (pytest.approx(answered), pytest.approx(error))


def test_wrong_answers_come_longest_first_with_their_names() -> None:
    assert [(each.name, each.label, each.answer) for each in found().mistakes] == [
        ("7.png", "dog", "ant"),
        ("6.png", "dog", "bee"),
        ("2.png", "bee", "ant"),
        ("5.png", "ant", "cat"),
    ]
    assert found().mistakes[0].length == pytest.approx(0.75)
    assert found().mistakes[0].length_of_label == pytest.approx(0.1)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 3])
def test_an_image_with_a_length_that_is_not_finite_is_one_wrong_answer_everywhere(value: float, place: int) -> None:
    """The first image, an ant, was right."""
    broken = lengths()
    broken[0, place] = value
    names = [f"{number}.png" for number in range(len(ANSWERS))]
    given: Any = evaluated(broken, LABELS, model="m", data="d", classes=CLASSES, names=names)

    assert given.error == pytest.approx(5 / 8)
    assert given.balanced_error == pytest.approx(np.mean([2 / 3, 1 / 3, 2 / 2]))
    assert (given.classes[0].images, given.classes[0].recall) == (3, pytest.approx(1 / 3))
    assert given.confusion[0] == (1, 0, 1, 0)
    assert sum(each.images for each in given.reliability) == 7
    apart = [0.35, 0.55, 0.55, 0.65, 0.75, 0.15, 0.0]
    assert given.calibration_error == pytest.approx(sum(apart) / 7, abs=1e-6)
    assert (given.thresholds[0].answered, given.thresholds[0].error) == (pytest.approx(7 / 8), pytest.approx(4 / 7))
    assert [each.name for each in given.mistakes] == [each.name for each in found().mistakes]
    assert [(each.code, each.numbers) for each in given.remarks] == [("not-finite", {"count": 1})]
    row = as_csv(names, LABELS, broken, CLASSES).splitlines()[1].split(",")
    assert row[:5] == ["0.png", "ant", "", "no", ""]
    beside = compared(broken, lengths(), LABELS, model="o")
    assert (beside.first_alone, beside.other_alone) == (1, 0)


def test_a_class_whose_images_have_no_answer_is_never_answered_and_a_model_without_any_is_refused() -> None:
    broken = lengths()
    broken[CLASSES.index("bee") == LABELS] = np.nan
    broken[[4, 6], 1] = 0.0
    names = ["x"] * len(ANSWERS)
    given = evaluated(broken, LABELS, model="m", data="d", classes=CLASSES, names=names)
    assert given.never_answered == ("bee", "dog")
    assert (given.classes[1].images, given.classes[1].recall) == (3, 0.0)
    with pytest.raises(ModelError, match="'m' gives lengths that are not finite for every image"):
        evaluated(broken * np.nan, LABELS, model="m", data="d", classes=CLASSES, names=names)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (3, 3), (0, 5), (7, 2), (1, 11)])
def test_mcnemar_counts_the_coins_that_fall_as_unevenly(one: int, other: int) -> None:
    falls = [sum(coins) for coins in product((0, 1), repeat=one + other)]
    uneven = sum(abs(2 * heads - one - other) >= abs(one - other) for heads in falls)
    assert mcnemar(one, other) == pytest.approx(uneven / len(falls))


def test_another_model_is_paired_by_image() -> None:
    other = lengths()
    other[2] = [0.1, 0.9, 0.1, 0.1]  # right now
    other[0] = [0.1, 0.9, 0.1, 0.1]  # and wrong
    other[3] = [0.1, 0.1, 0.9, 0.1]
    beside = compared(lengths(), other, LABELS, model="o")
    assert beside.error == pytest.approx(5 / 8)
    assert (beside.first_alone, beside.other_alone) == (1, 2)
    assert beside.difference.mean == pytest.approx(-1 / 8)
    assert beside.p_value == 1.0
