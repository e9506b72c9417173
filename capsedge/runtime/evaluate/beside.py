"""The images of an evaluation as another model takes them, so that both can be held against each other."""

import numpy as np
from numpy.typing import NDArray

from capsedge.contract import Contract
from capsedge.errors import DataError, WrongUse
from capsedge.runtime.evaluate.labelled import Labelled, Part, labelled


def order_of_classes(first: Contract, other: Contract, name: str) -> list[int]:
    """Where each class of the first model stands among the other's.

    Args:
        first: The first model's contract.
        other: The other's.
        name: The other, as it was named.

    Raises:
        WrongUse: They have other classes.
    """
    if {*first.classes} != {*other.classes}:
        raise WrongUse(f"--compare '{name}' has other classes: evaluate each on its own")
    return [other.classes.index(each) for each in first.classes]


def as_another_takes(
    images: Labelled, place: str, *, own: bool, part: Part, first: Contract, other: Contract
) -> NDArray[np.uint8]:
    """The same images in the same order, fitted as another model wants them.

    They are fitted from what lies at the place, and not from what the first model was given: that would be fitted
    twice.

    Args:
        images: As the first model takes them.
        place: Where they came from, as `labelled` takes it.
        own: Whether they are of the first model's run, which may have divided them further than the place does.
        part: The part that they are.
        first: The first model's contract.
        other: The other's, with the same classes.

    Raises:
        DataError: They are no longer there.
    """
    shape, fit = other.input.shape, other.fit
    if (shape, fit) == (first.input.shape, first.fit):
        return images.images
    found = labelled(place, classes=first.classes, shape=shape, fit=fit, part="all" if own else part)
    places = {name: position for position, name in enumerate(found.names)}
    if gone := [name for name in images.names if name not in places]:
        raise DataError(f"'{place}' changed while it was read: '{gone[0]}' is gone")
    return found.images[[places[name] for name in images.names]]
