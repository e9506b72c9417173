"""A subject of evaluations whose answers nobody needs."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capsedge.fit import Fit
from capsedge.measure.evaluate.subject import EvaluatedNetwork

SHAPE = (4, 4, 1)


def subject(
    classes: Sequence[str],
    *,
    shape: tuple[int, int, int] = SHAPE,
    fit: Fit | None = None,
    dark_background: bool = False,
) -> EvaluatedNetwork:
    """A network that is never asked."""

    def lengths(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise AssertionError(len(images))

    return EvaluatedNetwork(
        name="tiny",
        classes=tuple(classes),
        shape=shape,
        fit=fit or Fit(),
        dark_background=dark_background,
        run=None,
        lengths=lengths,
    )
