"""Advice at the end of a training: what went wrong, and what to do about it.

It follows from the validation images and the rows of the metrics file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.models.loss import M_PLUS
from capsedge.plural import number_of, plural
from capsedge.recipe import DataRecipe, TrainRecipe
from capsedge.run_record import TrainingCode, TrainingRemark, TrainingWarning
from capsedge.scoring import chance_error, never_answered
from capsedge.statistics import at_chance, near_chance
from capsedge.training.evaluate import Evaluation
from capsedge.training.plan import FEW_STEPS

_OVERFITTED = 0.2  # training error as a share of the validation error, at most
_GAP = 0.05  # least difference between validation and training error
_POOR = 0.5  # share of a class's images that are answered wrongly
_FELL = 0.1  # share by which the validation error fell over the last fifth of the epochs
_MANY = 3  # names in a line


@dataclass(frozen=True)
class Ended:
    """A training that has ended, with the figures that warnings and advice follow from.

    Attributes:
        validation: Scores of the kept network on the validation images.
        rows: Rows of the metrics file.
        classes: Class names in the order of the labels.
        labels: Classes in an image.
        recipe: Epochs, schedule and learning rate.
        data: How the training images were varied.
        best_epoch: The epoch whose network was kept.
        steps: Iterations of the training.
    """

    validation: Evaluation
    rows: Sequence[dict[str, Any]]
    classes: Sequence[str]
    labels: int
    recipe: TrainRecipe
    data: DataRecipe
    best_epoch: int
    steps: int

    @property
    def chance(self) -> float:
        """The error of random answers."""
        return chance_error(len(self.classes), self.labels)

    @property
    def at_chance(self) -> bool:
        """Whether the validation error is at chance (`at_chance`)."""
        return at_chance(self.validation.error, self.validation.images, self.chance)

    @property
    def training_errors(self) -> dict[int, float]:
        """Error on the training images at the end of each epoch, from its last five rows."""
        rows: dict[int, list[float]] = {}
        for row in self.rows:
            if row["kind"] == "training":
                rows.setdefault(row["epoch"], []).append(row["error"])
        return {epoch: float(np.mean(errors[-5:])) for epoch, errors in rows.items()}


def warnings_of(training: Ended) -> Iterator[TrainingWarning]:
    """Warn at most once that the network is of little or no use: it errs as at chance, or has a single answer.

    Where the network is at chance, the gate repeats this warning (`Verdict.failed_training`), so that both give the
    same advice.
    """
    error, chance = training.validation.error, training.chance
    images, classes = training.validation.images, f"{len(training.classes)} classes"
    of = f"{training.labels} of {classes}" if training.labels > 1 else classes
    code: TrainingCode
    if training.at_chance:
        code, what = "at-chance", f"the validation error of {100 * error:.0f} % is at chance for {of}"
        what += f" ({100 * chance:.0f} %, within the 95 % interval of {number_of(images, 'image')})"
    elif name := _only_answer(training):
        code, what = "one-answer", f"the network answers {name} for every validation image"
    elif near_chance(error, chance):
        code, what = "near-chance", f"the validation error of {100 * error:.0f} % is near chance for {of}"
        what += f" ({100 * chance:.0f} %)"
    else:
        return
    text = f"{what}: {_remedy(training, code)}"
    yield TrainingWarning(code=code, text=text, error=error, chance=chance)


def remarks_of(training: Ended) -> Iterator[TrainingRemark]:
    """Remark on each less serious problem, with what to do; the worst comes first.

    Where there is a warning, its advice counts alone, but for classes that a network near chance never answers. After
    few steps such a class says nothing about its images.
    """
    warned = next((warning.code for warning in warnings_of(training)), None)
    if training.validation.confusion is None or warned in ("at-chance", "one-answer"):
        return
    unanswered = never_answered(training.validation.confusion).tolist() if training.steps >= FEW_STEPS else []
    never = tuple(training.classes[label] for label in unanswered)
    if never:
        yield TrainingRemark(
            code="never-answered",
            text=f"the network never answers {_first_names(never)} on the validation images: add images of "
            f"{plural(len(never), 'this class', 'these classes')}",
            classes=never,
        )
    if warned is None:
        yield from _mostly_wrong(training.validation.confusion, training.classes, never)
        yield from _overfitted(training)
        if _still_falling(training):
            text = f"the validation error was still falling after {_more_steps(training.steps)}"
            yield TrainingRemark(code="still-falling", text=text, numbers={"steps": training.steps})


def _remedy(training: Ended, code: TrainingCode) -> str:
    error, steps = training.validation.error, training.steps
    rate = f"lower train.learning_rate (it was {training.recipe.learning_rate:g})"
    learned = training.training_errors
    epoch = min(learned, key=lambda each: learned[each], default=0)
    if learned and learned[epoch] <= _OVERFITTED * error:
        kept = "" if epoch == training.best_epoch else f", and the network of epoch {training.best_epoch} was kept"
        return (
            f"in epoch {epoch} the network had learned the training images ({100 * learned[epoch]:.1f} % were wrong) "
            f"and little that holds for others{kept}; {_more_images(training.data)}"
        )
    if training.validation.loss >= training.labels * M_PLUS**2 - 1e-4:  # no better than lengths of 0 for every image
        begun = ", or raise train.epochs" if steps < FEW_STEPS else ""
        return f"the training diverged{' or has hardly begun' if begun else ''}; {rate}{begun}"
    if steps < FEW_STEPS:
        return (
            f"{number_of(steps, 'step')} {plural(steps, 'is', 'are')} few: raise train.epochs, or set train.epochs=0 "
            "to let capsedge choose it"
        )
    if code != "near-chance":
        return rate
    if _still_falling(training):
        return f"it was still falling after {_more_steps(steps)}"
    return (
        "check the images at the network's resolution (capsedge data FOLDER --sheet sheet.png); a larger data.size "
        "helps if the classes differ in small details"
    )


def _only_answer(training: Ended) -> str:
    """The name of the class that is the answer for every image; "" if there are others, or all images have it."""
    confusion = training.validation.confusion
    if confusion is None or np.count_nonzero(confusion.sum(1)) < 2:
        return ""
    answered = np.flatnonzero(confusion.sum(0))
    return training.classes[answered[0]] if len(answered) == 1 else ""


def _mostly_wrong(
    confusion: NDArray[np.int64], classes: Sequence[str], never: Sequence[str]
) -> Iterator[TrainingRemark]:
    """Classes of which more than half is wrong, but for those that are never the answer."""
    counts, right = confusion.sum(1), confusion.diagonal()
    poor = {
        classes[label]: f"{classes[label]} ({counts[label] - right[label]} of {counts[label]})"
        for label in np.flatnonzero((counts > 0) & (counts - right > _POOR * counts)).tolist()
        if classes[label] not in never
    }
    if poor:
        named = _first_names([*poor.values()])
        yield TrainingRemark(
            code="mostly-wrong",
            text=f"the network answers more than half of the validation images wrongly of {named}",
            classes=tuple(poor),
        )


def _overfitted(training: Ended) -> Iterator[TrainingRemark]:
    error, known = training.validation.error, training.training_errors.get(training.best_epoch)
    if known is None or known > _OVERFITTED * error or error - known < _GAP:
        return
    yield TrainingRemark(
        code="overfitted",
        text=f"the network overfits: {100 * known:.1f} % of the training images are wrong, and {100 * error:.1f} % "
        f"of the validation images; {_more_images(training.data)}",
        numbers={"training_error": known, "error": error},
    )


def _more_images(data: DataRecipe) -> str:
    """What a network needs that has learned its images by heart: others, or more ways to vary these."""
    ways = [
        "--set data.rotation=180 if things lie at any angle" if data.rotation < 180 else "",
        "--set data.flip=true if a mirrored image has the same class" if data.flip is False else "",
        "--set data.erase=0.25" if not data.erase else "",
    ]
    ways = [] if data.overlap else [*filter(None, ways)]  # nothing else moves overlapped images
    return f"more images help most{', then ' if ways else ''}{' or '.join(ways)}"


def _still_falling(training: Ended) -> bool:
    errors = [row["error"] for row in training.rows if row["kind"] == "validation"]
    last = max(1, len(errors) // 5)
    # With these schedules the error falls to the end.
    ends = training.recipe.schedule in ("cosine", "one-cycle") and training.steps >= FEW_STEPS
    if ends or len(errors) <= last or errors[-1] > min(errors) or not errors[-1]:  # an error of 0 cannot fall
        return False
    return bool(errors[-1] <= (1 - _FELL) * errors[-1 - last])


def _more_steps(steps: int) -> str:
    return f"{number_of(steps, 'step')}: raise train.epochs"


def _first_names(names: Sequence[str]) -> str:
    return ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
