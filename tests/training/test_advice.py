"""Warnings and advice at the end of a training, and when there are none."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.recipe import DataRecipe, TrainRecipe
from capsedge.run_record import RemarkCode, TrainingCode, TrainingRemark, TrainingWarning
from capsedge.scoring import balanced_error
from capsedge.training import Evaluation
from capsedge.training.advice import Ended, remarks_of, warnings_of

CLASSES = ("ant", "bee", "cat", "dog", "eel")
ONE_CYCLE = TrainRecipe(schedule="one-cycle")


def rows(training: float, *validation: float) -> list[dict[str, Any]]:
    return [
        *({"kind": "training", "epoch": 1, "error": 0.9} for _ in range(5)),
        *({"kind": "training", "epoch": 2, "error": training} for _ in range(5)),
        *({"kind": "training", "epoch": 3, "error": 0.0} for _ in range(5)),
        *({"kind": "validation", "epoch": epoch, "error": error} for epoch, error in enumerate(validation, 1)),
    ]


def ended(
    validation: Evaluation,
    known: list[dict[str, Any]],
    *,
    classes: Sequence[str] = CLASSES,
    labels: int = 1,
    recipe: TrainRecipe = ONE_CYCLE,
    data: DataRecipe = DataRecipe(),  # noqa: B008 (it cannot change)
    steps: int = 3000,
) -> Ended:
    return Ended(validation, known, classes, labels, recipe, data, best_epoch=2, steps=steps)


def of(confusion: NDArray[np.int64]) -> Evaluation:
    images = int(confusion.sum())
    return Evaluation(error=1 - confusion.trace() / images, loss=0.3, images=images, confusion=confusion)


def told(confusion: NDArray[np.int64], known: list[dict[str, Any]], **options: Any) -> list[TrainingRemark]:
    return [*remarks_of(ended(of(confusion), known, **options))]


def warned(confusion: NDArray[np.int64], known: list[dict[str, Any]], **options: Any) -> TrainingWarning | None:
    return next(warnings_of(ended(of(confusion), known, **options)), None)


def diagonal(right: int, wrong: int) -> NDArray[np.int64]:
    """Of each class so many right, and so many for the next class."""
    return right * np.eye(5, dtype=np.int64) + wrong * np.roll(np.eye(5, dtype=np.int64), 1, 1)


def test_of_a_good_training_nothing_is_said() -> None:
    for known in (rows(0.03, 0.2, 0.1, 0.05), []):
        assert told(diagonal(95, 5), known) == []
        assert warned(diagonal(95, 5), known) is None


FALLING = (0.98, 0.95, 0.9, 0.8, 0.7)


@pytest.mark.parametrize(
    ("steps", "errors", "remedy"),
    [
        (9, (0.8, 0.7), "9 steps are few: raise train.epochs, or set train.epochs=0"),
        (3000, (0.7, 0.7), "check the images at the"),
        (3000, FALLING, "it was still falling after 3,000 steps: raise train.epochs"),
    ],
)
def test_near_chance_is_a_warning_however_many_steps_were_taken(
    steps: int, errors: tuple[float, ...], remedy: str
) -> None:
    """Of few classes, near is 0.8 of the error of random answers: 0.64 of 0.8, and for pairs of classes too."""
    options = {"recipe": TrainRecipe(schedule="step"), "steps": steps}
    known = [row for row in rows(0.7, *errors) if row["kind"] == "validation" or row["epoch"] < 3]
    warning = warned(diagonal(30, 70), known, **options)
    assert warning is not None
    assert (warning.code, warning.error, warning.chance) == ("near-chance", 0.7, 0.8)
    assert warning.text.startswith(f"the validation error of 70 % is near chance for 5 classes (80 %): {remedy}")
    assert told(diagonal(30, 70), known, **options) == []  # one source of advice
    assert warned(diagonal(36, 64), known, **options) is not None
    assert warned(diagonal(37, 63), known, **options) is None
    pairs = Evaluation(error=0.8, loss=0.5, images=400)
    (warning,) = warnings_of(ended(pairs, known, labels=2, **options))  # type: ignore[arg-type]
    assert f"80 % is near chance for 2 of 5 classes (90 %): {remedy}" in warning.text


def test_a_single_answer_is_a_warning_where_the_classes_differ_in_images() -> None:
    """A third of the images are no ant: far below the error of random answers, and of no use."""
    always_ant = np.zeros((5, 5), np.int64)
    always_ant[:, 0] = [80, 10, 10, 10, 10]
    warning = warned(always_ant, [], recipe=TrainRecipe(learning_rate=0.002))
    assert warning is not None
    assert warning.code == "one-answer"
    lower = "lower train.learning_rate (it was 0.002)"
    assert warning.text == f"the network answers ant for every validation image: {lower}"
    assert told(always_ant, []) == []
    only_ants = np.zeros((5, 5), np.int64)
    only_ants[0, 0] = 80
    assert warned(only_ants, []) is None


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
    names = [str(name) for name in range(classes)]
    (warning,) = warnings_of(ended(validation, [], classes=names, labels=labels, recipe=recipe, steps=steps))
    assert warning.code == "at-chance"
    text = text.replace("*", ", within the 95 % interval of 400 images")
    assert warning.text.startswith(f"the validation error of {text}")
    assert warning.error == error
    assert warning.chance == pytest.approx({1: 9 / 10, 2: 44 / 45}[labels])


@pytest.mark.parametrize(
    ("epochs", "learned"),
    [
        (3, "in epoch 3 the network had learned the training images (0.0 % were wrong) and little that holds for o"),
        (2, "in epoch 2 the network had learned the training images (5.0 % were wrong) and little that holds for o"),
        (1, "lower train.learning_rate"),
    ],
)
def test_at_chance_the_epoch_that_learned_the_training_images_is_named(epochs: int, learned: str) -> None:
    """The network of epoch 2 was kept: what it quotes of another epoch must not be taken for it."""
    known = [row for row in rows(0.05) if row["epoch"] <= epochs]
    known.insert(0, {"kind": "training", "epoch": 1, "error": 0.0})  # one row alone may be luck
    (warning,) = warnings_of(ended(Evaluation(error=0.6, loss=0.4, images=20), known, classes=CLASSES[:3]))
    assert f": {learned}" in warning.text
    assert ("and the network of epoch 2 was kept; more images" in warning.text) == (epochs == 3)


@pytest.mark.parametrize(("error", "images"), [(0.85, 400), (0.72, 20), (0.3, 5)])
def test_an_error_below_chance_is_no_warning(error: float, images: int) -> None:
    """The standard error of 0.9 is 0.015 for 400 images; with few images only what is near chance is at chance."""
    validation = Evaluation(error=error, loss=0.5, images=images)
    names = [str(name) for name in range(10)]
    assert "at-chance" not in [each.code for each in warnings_of(ended(validation, [], classes=names))]


def test_an_error_at_chance_has_its_warning_and_no_advice() -> None:
    always_the_first = np.zeros((5, 5), np.int64)
    always_the_first[:, 0] = 20
    assert told(always_the_first, rows(0.8, 0.8, 0.8)) == []


def test_classes_that_are_never_or_hardly_answered_are_named() -> None:
    confusion = np.diag([100, 100, 100, 0, 40])
    confusion[3, 0], confusion[4, 1] = 12, 60
    never, poor = told(confusion, rows(0.1, 0.2))
    assert (never.code, never.classes) == ("never-answered", ("dog",))
    assert never.text == "the network never answers dog on the validation images: add images of this class"
    assert (poor.code, poor.classes) == ("mostly-wrong", ("eel",))
    assert poor.text == "the network answers more than half of the validation images wrongly of eel (60 of 100)"
    short = told(confusion, rows(0.1, 0.2), steps=20)  # its images are not to blame: nothing is learned yet
    assert [(each.code, each.classes) for each in short] == [("mostly-wrong", ("dog", "eel"))]
    alike = np.full((5, 5), 10) + 15 * np.eye(5, dtype=np.int64)  # 40 of 65 of every class
    (most,) = told(alike, rows(0.6, 0.6))
    assert (most.code, most.classes) == ("mostly-wrong", tuple(CLASSES))


def test_overfitting_is_told() -> None:
    (said,) = told(diagonal(80, 20), rows(0.01, 0.3, 0.2))
    assert said.code == "overfitted"
    assert said.numbers == pytest.approx({"training_error": 0.01, "error": 0.2})
    assert said.text.startswith("the network overfits: 1.0 % of the training images are wrong, and 20.0 % of the va")
    assert told(diagonal(96, 4), rows(0.0, 0.04)) == [], "four points are no gap"


@pytest.mark.parametrize(
    ("data", "ways"),
    [
        (
            DataRecipe(rotation=10),
            "then --set data.rotation=180 if things lie at any angle or --set data.flip=true if a mirrored image has "
            "the same class or --set data.erase=0.25",
        ),
        (DataRecipe(flip=True, erase=0.1), "then --set data.rotation=180 if things lie at any angle"),
        (DataRecipe(rotation=180, flip=True, erase=0.1), ""),
        (DataRecipe(overlap=4), ""),
    ],
)
def test_where_images_were_learned_by_heart_the_augmentation_that_is_left_is_named(
    data: DataRecipe, ways: str
) -> None:
    """By the warning near chance as by the advice: the user in more trouble needs it more."""
    needed = f"more images help most{', ' if ways else ''}{ways}"
    (said,) = told(diagonal(80, 20), rows(0.01, 0.3, 0.2), data=data)
    warning = warned(diagonal(30, 70), rows(0.01, 0.8, 0.7), data=data)
    assert warning is not None
    assert [text.rpartition("; ")[2] for text in (said.text, warning.text)] == [needed, needed]


def test_an_error_that_still_falls_is_told_where_the_schedule_does_not_end_so() -> None:
    falling = rows(0.3, 0.6, 0.5, 0.45, 0.4, 0.3)
    (said,) = told(diagonal(70, 30), falling, recipe=TrainRecipe(schedule="step"))
    assert (said.code, said.numbers) == ("still-falling", {"steps": 3000})
    assert said.text == "the validation error was still falling after 3,000 steps: raise train.epochs"
    assert told(diagonal(70, 30), falling) == []
    assert len(told(diagonal(70, 30), falling, steps=200)) == 1
    assert told(diagonal(70, 30), rows(0.3, 0.6, 0.3, 0.3, 0.3, 0.3), steps=200) == []


def test_the_balanced_error_counts_every_class_alike() -> None:
    confusion = np.array([[2000, 0, 0], [6, 6, 0], [0, 0, 0]])
    assert balanced_error(confusion) == pytest.approx((0 + 0.5) / 2)


def test_the_guide_lists_every_code() -> None:
    guide = (Path(__file__).parents[2] / "docs/training.md").read_text(encoding="utf-8")
    codes = [*get_args(TrainingCode), *get_args(RemarkCode)]
    assert [code for code in codes if f"| `{code}` |" not in guide] == []
