"""Warnings and advice at the end of a training, and when there are none."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.recipe import TrainRecipe
from capsedge.scoring import balanced_error
from capsedge.training import Evaluation
from capsedge.training.advice import advice, warnings_of

CLASSES = ("ant", "bee", "cat", "dog", "eel")
ONE_CYCLE = TrainRecipe(schedule="one-cycle")


def rows(training: float, *validation: float) -> list[dict[str, Any]]:
    return [
        *({"kind": "training", "epoch": 1, "error": 0.9} for _ in range(5)),
        *({"kind": "training", "epoch": 2, "error": training} for _ in range(5)),
        *({"kind": "training", "epoch": 3, "error": 0.0} for _ in range(5)),
        *({"kind": "validation", "epoch": epoch, "error": error} for epoch, error in enumerate(validation, 1)),
    ]


def told(
    confusion: NDArray[np.int64], known: list[dict[str, Any]], *, recipe: TrainRecipe = ONE_CYCLE, steps: int = 3000
) -> list[str]:
    return advice(known, confusion, CLASSES, recipe=recipe, best_epoch=2, steps=steps)


def diagonal(right: int, wrong: int) -> NDArray[np.int64]:
    """Of each class so many right, and so many for the next class."""
    return right * np.eye(5, dtype=np.int64) + wrong * np.roll(np.eye(5, dtype=np.int64), 1, 1)


def test_of_a_good_training_nothing_is_said() -> None:
    assert told(diagonal(95, 5), rows(0.03, 0.2, 0.1, 0.05)) == []
    assert told(diagonal(95, 5), []) == []


@pytest.mark.parametrize(
    ("steps", "remedy"),
    [(40, "40 steps are few: raise train.epochs, or set train"), (3000, "check the images at the")],
)
def test_near_chance_is_told_with_what_helps(steps: int, remedy: str) -> None:
    (said, *_) = told(diagonal(30, 70), rows(0.7, 0.8, 0.7), steps=steps)
    assert said.startswith(f"a validation error of 70 % is near chance (80 %): {remedy}")
    assert not any("near chance" in each for each in told(diagonal(37, 63), rows(0.6, 0.63), steps=steps))


@pytest.mark.parametrize(
    ("classes", "labels", "error", "loss", "steps", "text"),
    [
        (10, 1, 0.9, 3.645, 3000, "90 % is at chance for 10 classes (90 %*): the training diverged; lower"),
        (
            10,
            1,
            0.88,
            0.81,
            9,
            "88 % is at chance for 10 classes (90 %*): the training diverged or has hardly begun; lo",
        ),
        (10, 1, 0.9, 0.7, 9, "90 % is at chance for 10 classes (90 %*): 9 steps are few: raise train.epochs"),
        (10, 1, 0.9, 0.7, 3000, "90 % is at chance for 10 classes (90 %*): lower train.learning_rate (it was 0.002)"),
        (10, 2, 0.98, 1.5, 3000, "98 % is at chance for 2 of 10 classes (98 %*): lower train.learning_rate"),
    ],
)
def test_an_error_at_chance_is_a_warning_with_what_to_change(
    classes: int, labels: int, error: float, loss: float, steps: int, text: str
) -> None:
    """With lengths of 0 the margin loss is 0.9^2 = 0.81 for each label; of 45 pairs of classes one is right."""
    validation = Evaluation(error=error, loss=loss, images=400)
    recipe = TrainRecipe(learning_rate=0.002)
    (warning,) = warnings_of(validation, classes=classes, labels=labels, recipe=recipe, steps=steps)
    assert warning.code == "at-chance"
    text = text.replace("*", ", within the 95 % interval of 400 images")
    assert warning.text.startswith(f"the validation error of {text}")
    assert warning.error == error
    assert warning.chance == pytest.approx({1: 9 / 10, 2: 44 / 45}[labels])


def test_at_chance_with_learned_training_images_more_images_are_the_advice() -> None:
    validation = Evaluation(error=0.6, loss=0.4, images=20)
    given = {"classes": 3, "labels": 1, "recipe": TrainRecipe(), "steps": 3000}
    (learned,) = warnings_of(validation, rows(0.5, 0.7, 0.6), **given)  # type: ignore[arg-type]  # 0 in epoch 3
    assert "learned the training images (0.0 % are wrong) and nothing that holds for others; more im" in learned.text
    (other,) = warnings_of(validation, rows(0.5, 0.7, 0.6)[:10], **given)  # type: ignore[arg-type]
    assert "lower train.learning_rate" in other.text


@pytest.mark.parametrize(("error", "images"), [(0.85, 400), (0.72, 20), (0.3, 5)])
def test_an_error_below_chance_is_no_warning(error: float, images: int) -> None:
    """The standard error of 0.9 is 0.015 for 400 images; with few images only what is near chance is at chance."""
    validation = Evaluation(error=error, loss=0.5, images=images)
    assert not [*warnings_of(validation, classes=10, labels=1, recipe=ONE_CYCLE, steps=3000)]


def test_an_error_at_chance_has_its_warning_and_no_advice() -> None:
    always_the_first = np.zeros((5, 5), np.int64)
    always_the_first[:, 0] = 20
    assert told(always_the_first, rows(0.8, 0.8, 0.8)) == []


def test_classes_that_are_never_or_hardly_answered_are_named() -> None:
    confusion = np.diag([100, 100, 100, 0, 40])
    confusion[3, 0], confusion[4, 1] = 12, 60
    never, poor = told(confusion, rows(0.1, 0.2))
    assert never.startswith("the network never answers dog on the validation images: add images of this class")
    assert poor == "the network answers more than half of the validation images wrongly of eel (60 of 100)"


def test_overfitting_is_told() -> None:
    (said,) = told(diagonal(80, 20), rows(0.01, 0.3, 0.2))
    assert said.startswith(
        "the network overfits: 1.0 % of the training images are wrong, and 20.0 % of the validation"
    )
    assert told(diagonal(96, 4), rows(0.0, 0.04)) == [], "four points are no gap"


def test_an_error_that_still_falls_is_told_where_the_schedule_does_not_end_so() -> None:
    falling = rows(0.3, 0.6, 0.5, 0.45, 0.4, 0.3)
    (said,) = told(diagonal(70, 30), falling, recipe=TrainRecipe(schedule="step"))
    assert said == "the validation error was still falling after 3,000 steps: raise train.epochs"
    assert told(diagonal(70, 30), falling) == []
    assert len(told(diagonal(70, 30), falling, steps=200)) == 1
    assert told(diagonal(70, 30), rows(0.3, 0.6, 0.3, 0.3, 0.3, 0.3), steps=200) == []


def test_the_balanced_error_counts_every_class_alike() -> None:
    confusion = np.array([[2000, 0, 0], [6, 6, 0], [0, 0, 0]])
    assert balanced_error(confusion) == pytest.approx((0 + 0.5) / 2)
