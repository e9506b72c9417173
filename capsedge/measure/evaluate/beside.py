"""The images of an evaluation as another model takes them, so that both can be held against each other."""

import dataclasses

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.errors import DataError, WrongUse
from capsedge.measure.evaluate.labelled import Labelled, Part, is_own, labelled, source_of_run, with_copies
from capsedge.measure.evaluate.measure import Evaluated, compared
from capsedge.measure.evaluate.subject import EvaluatedNetwork


def compared_with(
    other: EvaluatedNetwork,
    found: Evaluated,
    *,
    first: EvaluatedNetwork,
    lengths: NDArray[np.float32],
    images: Labelled,
    data: str | None,
    part: Part,
) -> Evaluated:
    """An evaluation with another model's answers to the same images, each fitted as that model wants it.

    Args:
        other: The other model.
        found: The evaluation of the first.
        first: The first model.
        lengths: Its answers, [N, classes].
        images: What it was evaluated on.
        data: Where they came from; None for the first model's run.
        part: Which part they are.

    Raises:
        WrongUse: The models have other classes.
    """
    order = order_of_classes(first, other)
    source = None if first.run is None else source_of_run(first.run)
    seen = as_another_takes(
        images, data or str(source), own=is_own(data, source), part=part, first=first, other=other
    )
    remarks = [f"{other.name}: {remark}" for remark in other.remarks]
    if other.run is not None and other.run != first.run:
        its = dataclasses.replace(images, images=seen, remarks=())
        learned = with_copies(its, other.run, classes=first.classes).remarks
        remarks += [f"{other.name}: {remark}" for remark in learned]
    if seen is not images.images:
        height, width, _ = other.shape
        remarks.append(f"{other.name} takes the same images fitted to {width}x{height} pixels ({other.fit.frame})")
    theirs = other.lengths(seen)[:, order]
    return replace(
        found,
        comparison=compared(lengths, theirs, images.labels, model=other.name),
        remarks=(*found.remarks, *remarks),
    )


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
