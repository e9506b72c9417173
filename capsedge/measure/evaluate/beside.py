"""Comparing another model with an evaluated one on the same images, fitted to that model's input."""

import dataclasses

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from capsedge.errors import DataError, WrongUse
from capsedge.measure.evaluate.labelled import Labelled, Part, is_own, labelled, source_of_run, with_copies
from capsedge.measure.evaluate.measure import Evaluated, compared, not_finite
from capsedge.measure.evaluate.remark import eval_remark
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
    """Add a comparison with another model to an evaluation, on the same images fitted to that model.

    Args:
        other: The other model.
        found: The evaluation of the first model.
        first: The first model.
        lengths: Capsule lengths of the first model, [N, classes].
        images: The images of the evaluation.
        data: The place that they were loaded from; None for the first model's run.
        part: The part of the data.

    Raises:
        WrongUse: The models have different classes.
    """
    order = order_of_classes(first, other)
    source = None if first.run is None else source_of_run(first.run)
    seen = as_another_takes(
        images, data or str(source), own=is_own(data, source), part=part, first=first, other=other
    )
    remarks = [remark.of(other.name) for remark in other.remarks]
    if other.run is not None and other.run != first.run:
        its = dataclasses.replace(images, images=seen, remarks=())
        learned = with_copies(its, other.run, classes=first.classes).remarks
        remarks += [remark.of(other.name) for remark in learned]
    if seen is not images.images:
        height, width, _ = other.shape
        text = f"takes the same images fitted to {width}x{height} pixels ({other.fit.frame})"
        remarks.append(eval_remark("fitted-to-other", text, width=width, height=height).of(other.name))
    theirs = other.lengths(seen)[:, order]
    remarks += [remark.of(other.name) for remark in not_finite(theirs)]
    return replace(
        found,
        comparison=compared(lengths, theirs, images.labels, model=other.name),
        remarks=(*found.remarks, *remarks),
    )


def order_of_classes(first: EvaluatedNetwork, other: EvaluatedNetwork) -> list[int]:
    """Positions of the first model's classes among those of the other.

    Args:
        first: The first model.
        other: The other model.

    Raises:
        WrongUse: They have different classes.
    """
    if {*first.classes} != {*other.classes}:
        raise WrongUse(f"--compare '{other.name}' has other classes", "evaluate each on its own")
    return [other.classes.index(each) for each in first.classes]


def as_another_takes(
    images: Labelled, place: str, *, own: bool, part: Part, first: EvaluatedNetwork, other: EvaluatedNetwork
) -> NDArray[np.uint8]:
    """The same images in the same order, fitted to another model.

    They are loaded again, because fitting the first model's input would fit them twice.

    Args:
        images: The images, fitted to the first model.
        place: The place that they were loaded from, as `labelled` takes it.
        own: Whether they are those of the first model's run, which may divide the data further.
        part: The part of the data.
        first: The first model.
        other: The other model, with the same classes.

    Returns:
        uint8 [N, height, width, channels], in the other model's shape.

    Raises:
        DataError: They no longer exist.
    """
    if (other.shape, other.fit, other.dark_background) == (first.shape, first.fit, first.dark_background):
        return images.images
    found = labelled(place, other, part="all" if own else part)
    places = {name: position for position, name in enumerate(found.names)}
    if gone := [name for name in images.names if name not in places]:
        raise DataError(f"'{place}' changed while it was read: '{gone[0]}' is gone")
    return found.images[[places[name] for name in images.names]]
