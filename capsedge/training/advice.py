"""Advice at the end of a training: what went wrong, and what to do about it.

It follows from the validation images and the rows of the metrics file.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.models.loss import M_PLUS
from capsedge.plural import number_of, plural
from capsedge.recipe import TrainRecipe
from capsedge.scoring import chance_error, never_answered
from capsedge.statistics import at_chance
from capsedge.training.evaluate import Evaluation
from capsedge.training.plan import FEW_STEPS
from capsedge.training.run import TrainingWarning

_NEAR_CHANCE = 0.8  # share of the error of random answers
_OVERFITTED = 0.2  # training error as a share of the validation error, at most
_GAP = 0.05  # least difference between validation and training error
_POOR = 0.5  # share of a class's images that are answered wrongly
_FELL = 0.1  # share by which the validation error fell over the last fifth of the epochs
_MANY = 3  # names in a line


def warnings_of(
    validation: Evaluation,
    rows: Sequence[dict[str, Any]] = (),
    *,
    classes: int,
    labels: int,
    recipe: TrainRecipe,
    steps: int,
) -> Iterator[TrainingWarning]:
    """Warn if the validation error is at chance: no lower than that of random answers, within its 95 % interval.

    Args:
        validation: Scores of the best network on the validation images.
        rows: Rows of the metrics file.
        classes: Number of classes.
        labels: Classes in an image.
        recipe: Learning rate.
        steps: Iterations of the training.
    """
    error, chance = validation.error, chance_error(classes, labels)
    if not at_chance(error, validation.images, chance):
        return
    rate = f"lower train.learning_rate (it was {recipe.learning_rate:g})"
    learned = min((row["error"] for row in rows if row["kind"] == "training"), default=1.0)
    if learned <= _OVERFITTED * error:
        remedy = (
            f"the network has learned the training images ({100 * learned:.1f} % are wrong) and nothing that holds "
            "for others; more images help most"
        )
    elif validation.loss >= labels * M_PLUS**2 - 1e-4:  # no better than lengths of 0 for every image
        begun = ", or raise train.epochs" if steps < FEW_STEPS else ""
        remedy = f"the training diverged{' or has hardly begun' if begun else ''}; {rate}{begun}"
    elif steps < FEW_STEPS:
        remedy = _more_steps(steps)
    else:
        remedy = rate
    of = f"{labels} of {classes} classes" if labels > 1 else f"{classes} classes"
    yield TrainingWarning(
        code="at-chance",
        text=f"the validation error of {100 * error:.0f} % is at chance for {of} ({100 * chance:.0f} %, within the "
        f"95 % interval of {number_of(validation.images, 'image')}): {remedy}",
        error=error,
        chance=chance,
    )


def advice(
    rows: Sequence[dict[str, Any]],
    confusion: NDArray[np.int64],
    classes: Sequence[str],
    *,
    recipe: TrainRecipe,
    best_epoch: int,
    steps: int,
) -> list[str]:
    """One line for each problem, with what to do; the worst comes first. At chance there is only the warning.

    Args:
        rows: Rows of the metrics file.
        confusion: Validation images by class and by the best network's answer, [classes, classes].
        classes: Class names in the order of the labels.
        recipe: Epochs, schedule and learning rate.
        best_epoch: The epoch whose network was kept.
        steps: Iterations of the training.
    """
    images = int(confusion.sum())
    error, chance = 1 - float(confusion.trace() / images), 1 - 1 / len(classes)
    if at_chance(error, images, chance):
        return []
    return [
        *_near_chance(error, chance, steps),
        *_never_answered(confusion, classes),
        *_overfitted([row for row in rows if row["epoch"] == best_epoch], error),
        *_still_falling(rows, recipe, steps),
    ]


def _near_chance(error: float, chance: float, steps: int) -> list[str]:
    if error < _NEAR_CHANCE * chance:
        return []
    remedy = (
        _more_steps(steps)
        if steps < FEW_STEPS
        else "check the images at the network's resolution (capsedge data FOLDER --sheet sheet.png); a larger "
        "data.size helps if the classes differ in small details"
    )
    return [f"a validation error of {100 * error:.0f} % is near chance ({100 * chance:.0f} %): {remedy}"]


def _more_steps(steps: int) -> str:
    return (
        f"{number_of(steps, 'step')} {plural(steps, 'is', 'are')} few: raise train.epochs, or set train.epochs=0 to "
        "let capsedge choose it"
    )


def _never_answered(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    counts, right = confusion.sum(1), confusion.diagonal()
    never = [classes[label] for label in never_answered(confusion).tolist()]
    remarks = []
    if never:
        remarks.append(
            f"the network never answers {_named(never)} on the validation images: add images of "
            f"{plural(len(never), 'this class', 'these classes')}"
        )
    poor = [
        f"{classes[label]} ({counts[label] - right[label]} of {counts[label]})"
        for label in np.flatnonzero((counts > 0) & (counts - right > _POOR * counts)).tolist()
        if classes[label] not in never
    ]
    if poor and len(poor) < len(classes) / 2:
        remarks.append(f"the network answers more than half of the validation images wrongly of {_named(poor)}")
    return remarks


def _overfitted(rows: Sequence[dict[str, Any]], error: float) -> list[str]:
    training = [row["error"] for row in rows if row["kind"] == "training"][-5:]
    if not training:
        return []
    known = float(np.mean(training))
    if known > _OVERFITTED * error or error - known < _GAP:
        return []
    return [
        f"the network overfits: {100 * known:.1f} % of the training images are wrong, and {100 * error:.1f} % of the "
        "validation images; more images help most, then more augmentation (data.rotation, data.scale, data.erase, "
        "and data.flip where a mirrored image has the same class)"
    ]


def _still_falling(rows: Sequence[dict[str, Any]], recipe: TrainRecipe, steps: int) -> list[str]:
    errors = [row["error"] for row in rows if row["kind"] == "validation"]
    last = max(1, len(errors) // 5)
    ends = recipe.schedule in ("cosine", "one-cycle") and steps >= FEW_STEPS  # with these the error falls to the end
    if ends or len(errors) <= last or errors[-1] > min(errors) or not errors[-1]:  # an error of 0 cannot fall
        return []
    if errors[-1] > (1 - _FELL) * errors[-1 - last]:
        return []
    return [f"the validation error was still falling after {number_of(steps, 'step')}: raise train.epochs"]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
