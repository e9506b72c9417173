"""The error of each model on given data, measured in the same run as its latency."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capsedge.measure.bench.deployment import ErrorOnData
from capsedge.runtime.session import Session

if TYPE_CHECKING:
    from capsedge.measure.evaluate.labelled import Labelled


class Examination:
    """Labelled images, fitted to each session; loaded before the measurement, so that a mistake costs no time.

    Images are loaded once for sessions with the same input and classes.
    """

    def __init__(self, place: str, sessions: Sequence[Session]) -> None:
        """Load the images.

        Args:
            place: See `capsedge.measure.evaluate.labelled.labelled`; of data with parts, the test part is used.
            sessions: The sessions, each with a contract.

        Raises:
            ModelError: A session has no contract.
            WrongUse: There is no such place, or it has no test part.
            DataError: No image can be read, or there is a class that a model does not have.
        """
        from capsedge.measure.evaluate.labelled import labelled
        from capsedge.measure.evaluate.subject import subject_of

        self._subjects = [subject_of(session) for session in sessions]
        loaded: dict[object, Labelled] = {}
        self._images = []
        for each in self._subjects:
            taken = (each.shape, each.fit, each.dark_background, each.classes)
            if taken not in loaded:
                loaded[taken] = labelled(place, each)
            self._images.append(loaded[taken])

    def errors(self) -> list[ErrorOnData]:
        """Run every session on its images, in batches of 32.

        Raises:
            ModelError: A model fails.
        """
        from capsedge.scoring import wrong_answers
        from capsedge.statistics import paired_difference, wilson_interval

        found: list[ErrorOnData] = []
        first: NDArray[np.bool_] | None = None
        for subject, images in zip(self._subjects, self._images, strict=True):
            wrong = wrong_answers(subject.lengths(images.images), images.labels)
            low, high = wilson_interval(int(wrong.sum()), len(wrong))
            vs_first = None if first is None else paired_difference([wrong], [first])
            first = wrong if first is None else first
            found.append(
                ErrorOnData(
                    data=images.data,
                    images=len(wrong),
                    wrong=int(wrong.sum()),
                    error=float(wrong.mean()),
                    low=low,
                    high=high,
                    vs_first=None if vs_first is None else vs_first.mean,
                    vs_first_low=None if vs_first is None else vs_first.low,
                    vs_first_high=None if vs_first is None else vs_first.high,
                )
            )
        return found
