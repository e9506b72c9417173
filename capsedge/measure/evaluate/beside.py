"""The images of an evaluation as another model takes them, so that both can be held against each other."""

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError, WrongUse
from capsedge.measure.evaluate.labelled import Labelled, Part, labelled
from capsedge.measure.evaluate.subject import EvaluatedNetwork


def order_of_classes(first: EvaluatedNetwork, other: EvaluatedNetwork) -> list[int]:
    """Where each class of the first model stands among the other's.

    Args:
        first: The first model.
        other: The other.

    Raises:
        WrongUse: They have other classes.
    """
    if {*first.classes} != {*other.classes}:
        raise WrongUse(f"--compare '{other.name}' has other classes: evaluate each on its own")
    return [other.classes.index(each) for each in first.classes]


def as_another_takes(
    images: Labelled, place: str, *, own: bool, part: Part, first: EvaluatedNetwork, other: EvaluatedNetwork
) -> NDArray[np.uint8]:
    """The same images in the same order, fitted as another model wants them.

    They are fitted from what lies at the place, and not from what the first model was given: that would be fitted
    twice.

    Args:
        images: As the first model takes them.
        place: Where they came from, as `labelled` takes it.
        own: Whether they are of the first model's run, which may have divided them further than the place does.
        part: The part that they are.
        first: The first model.
        other: The other, with the same classes.

    Raises:
        DataError: They are no longer there.
    """
    if (other.shape, other.fit, other.dark_background) == (first.shape, first.fit, first.dark_background):
        return images.images
    found = labelled(place, other, part="all" if own else part)
    places = {name: position for position, name in enumerate(found.names)}
    if gone := [name for name in images.names if name not in places]:
        raise DataError(f"'{place}' changed while it was read: '{gone[0]}' is gone")
    return found.images[[places[name] for name in images.names]]
