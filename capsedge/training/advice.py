"""What a person should know of a training that ended: what went wrong with it, and what to do about it.

All of it is judged on the validation images, and on the rows of the metrics file.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from capsedge.plural import number_of, plural
from capsedge.recipe import TrainRecipe
from capsedge.scoring import never_answered
from capsedge.training.plan import NEAR_NOTHING

_NEAR_CHANCE = 0.8  # of the error of an answer at random
_BY_HEART = 0.2  # a training error of so much less than the validation error, as a share of it
_GAP = 0.05
_POOR = 0.5  # of a class's images answered wrongly
_FELL = 0.1  # of the validation error over the last fifth of the epochs
_MANY = 3  # names in a line


def advice(
    rows: Sequence[dict[str, Any]],
    confusion: NDArray[np.int64],
    classes: Sequence[str],
    *,
    recipe: TrainRecipe,
    best_epoch: int,
    steps: int,
) -> list[str]:
    """One line for each thing that a person should know, the worst first, each with what to do.

    Args:
        rows: Of the metrics file.
        confusion: Validation images by their class and by the best network's answer, [classes, classes].
        classes: Class names in the order of the labels.
        recipe: Epochs and schedule.
        best_epoch: The epoch whose network was kept.
        steps: Iterations that were done.
    """
    error = 1 - float(confusion.trace() / confusion.sum())
    return [
        *_near_chance(error, len(classes), steps),
        *_never_answered(confusion, classes),
        *_by_heart([row for row in rows if row["epoch"] == best_epoch], error),
        *_still_falling(rows, recipe, steps),
    ]


def _near_chance(error: float, classes: int, steps: int) -> list[str]:
    chance = 1 - 1 / classes
    if error < _NEAR_CHANCE * chance:
        return []
    remedy = (
        f"{number_of(steps, 'step')} {plural(steps, 'is', 'are')} few: raise train.epochs, or leave it to capsedge "
        "with train.epochs=0"
        if steps < NEAR_NOTHING
        else "look at the images as the network sees them (capsedge data FOLDER --sheet sheet.png); a larger "
        "data.size helps where small things tell the classes apart"
    )
    return [f"a validation error of {100 * error:.0f} % is near chance ({100 * chance:.0f} %): {remedy}"]


def _never_answered(confusion: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    counts, right = confusion.sum(1), confusion.diagonal()
    never = [classes[label] for label in never_answered(confusion).tolist()]
    remarks = []
    if never:
        remarks.append(
            f"the network never answers {_named(never)} on the validation images: more images of them help"
        )
    poor = [
        f"{classes[label]} ({counts[label] - right[label]} of {counts[label]})"
        for label in np.flatnonzero((counts > 0) & (counts - right > _POOR * counts)).tolist()
        if classes[label] not in never
    ]
    if poor and len(poor) < len(classes) / 2:
        remarks.append(f"more than half of the validation images are answered wrongly of {_named(poor)}")
    return remarks


def _by_heart(rows: Sequence[dict[str, Any]], error: float) -> list[str]:
    training = [row["error"] for row in rows if row["kind"] == "training"][-5:]
    if not training:
        return []
    known = float(np.mean(training))
    if known > _BY_HEART * error or error - known < _GAP:
        return []
    return [
        f"the network knows its training images by heart ({100 * known:.1f} % wrong, and {100 * error:.1f} % of the "
        "validation images): more images help most, then more variation (data.rotation, data.scale, data.erase, "
        "data.flip where a mirrored image is one of the same class)"
    ]


def _still_falling(rows: Sequence[dict[str, Any]], recipe: TrainRecipe, steps: int) -> list[str]:
    errors = [row["error"] for row in rows if row["kind"] == "validation"]
    last = max(1, len(errors) // 5)
    ends = recipe.schedule in ("cosine", "one-cycle") and steps >= NEAR_NOTHING  # such errors fall to the very end
    if ends or len(errors) <= last or errors[-1] > min(errors) or not errors[-1]:  # at nothing it cannot fall
        return []
    if errors[-1] > (1 - _FELL) * errors[-1 - last]:
        return []
    return [f"the validation error was still falling after {number_of(steps, 'step')}: raise train.epochs"]


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:_MANY]) + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
