"""The error of each model on given data, measured in the same run as its latency."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import DataError
from capsedge.measure.bench.deployment import ErrorOnData
from capsedge.measure.bench.report import BenchWarning
from capsedge.runtime.session import Session

if TYPE_CHECKING:
    from capsedge.measure.evaluate.labelled import Labelled
    from capsedge.measure.evaluate.remark import EvalRemark
    from capsedge.measure.evaluate.subject import EvaluatedNetwork


class Examination:
    """Labelled images, fitted to each session; loaded before the measurement, so that a mistake costs no time.

    Images are loaded once for sessions with the same input and classes.
    """

    def __init__(self, place: str, sessions: Sequence[Session]) -> None:
        """Load the images.

        Args:
            place: See `capsedge.measure.evaluate.labelled.labelled`; of data with parts, the test part is used. All
                models get the same images; if they are those of the first model's run, in that run's division.
            sessions: The sessions, each with a contract.

        Raises:
            ModelError: A session has no contract.
            WrongUse: There is no such place, or it has no test part.
            DataError: No image can be read, or there is a class that a model does not have.
        """
        from capsedge.measure.evaluate.labelled import is_own, labelled, of_run, source_of_run
        from capsedge.measure.evaluate.subject import subject_of

        self._subjects = [subject_of(session) for session in sessions]
        first = self._subjects[0]
        source = None if first.run is None else source_of_run(first.run)
        own = is_own(place, source)
        if first.run is not None and own:  # in the division of the training, which used the other parts
            images = of_run(first.run, classes=first.classes, part="test")
        else:
            images = labelled(place, first)
        self._remarks = images.remarks
        fitted: dict[object, Labelled] = {}
        self._images = []
        for each in self._subjects:
            taken = (each.shape, each.fit, each.dark_background, each.classes)
            if taken not in fitted:
                fitted[taken] = _for_another(images, place, own=own, first=first, other=each)
            self._images.append(fitted[taken])
        self._of_model = self._find_copies(divided_by=first.run if own else None)

    def _find_copies(self, *, divided_by: Path | None) -> list[tuple["EvalRemark", ...]]:
        """For each session a remark where its model was trained on some of the images.

        Args:
            divided_by: The run whose test images they are, if they are those of a run.
        """
        from capsedge.measure.evaluate.labelled import with_copies

        known: dict[object, tuple[EvalRemark, ...]] = {}
        found = []
        for subject, images in zip(self._subjects, self._images, strict=True):
            run, key = subject.run, (subject.run, id(images))
            if run is None or run == divided_by:
                known[key] = ()
            elif key not in known:
                known[key] = with_copies(images, run, classes=subject.classes).remarks
            found.append(known[key])
        return found

    def warnings(self, labels: Sequence[str]) -> Iterator[BenchWarning]:
        """The remarks that `capsedge eval` makes about these images, once `errors` has run the models on them.

        Args:
            labels: Names of the sessions in the report.
        """
        for remark in self._remarks:
            yield BenchWarning(code="data", text=f"--data: {remark.text}")
        for label, remarks in zip(labels, self._of_model, strict=True):
            for remark in remarks:
                yield BenchWarning(code="data", text=f"--data: {remark.text}", case=label)

    def errors(self) -> list[ErrorOnData]:
        """Run every session on its images, in batches of 32.

        Raises:
            ModelError: A model fails.
        """
        from capsedge.measure.evaluate.measure import not_finite
        from capsedge.scoring import wrong_answers
        from capsedge.statistics import paired_difference, wilson_interval

        found: list[ErrorOnData] = []
        first: NDArray[np.bool_] | None = None
        for number, (subject, images) in enumerate(zip(self._subjects, self._images, strict=True)):
            lengths = subject.lengths(images.images)
            self._of_model[number] += not_finite(lengths)
            wrong = wrong_answers(lengths, images.labels)
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


def _for_another(
    images: "Labelled", place: str, *, own: bool, first: "EvaluatedNetwork", other: "EvaluatedNetwork"
) -> "Labelled":
    """The same images without their remarks, fitted to another model and labelled with its classes."""
    from capsedge.measure.evaluate.beside import as_another_takes

    shown = [first.classes[label] for label in images.labels]
    if lacking := sorted({*shown} - {*other.classes}):
        raise DataError(
            f"'{place}' has the class '{lacking[0]}', which '{other.name}' does not have", "measure it alone"
        )
    labels = np.array([other.classes.index(each) for each in shown], np.int64)
    seen = as_another_takes(images, place, own=own, part="test", first=first, other=other)
    return dataclasses.replace(images, images=seen, labels=labels, remarks=())
