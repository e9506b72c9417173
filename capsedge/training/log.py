"""Reports the progress of a training to an observer and to its metrics file."""

import time
from typing import Any, Protocol

from capsedge.training.checkpoint import Position
from capsedge.training.metrics import MetricsFile


class Observer(Protocol):
    """Receives the progress of a training; the command line shows it as a progress bar."""

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """Training starts or resumes at `position`."""

    def stepped(self, images: int) -> None:
        """One iteration is done."""

    def measured(self, row: dict[str, Any]) -> None:
        """A row was added to the metrics file."""


class Observers:
    """Several observers as one, called in their order.

    Args:
        observers: The observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """Training starts or resumes at `position`."""
        for each in self.observers:
            each.started(position, epochs, batches)

    def stepped(self, images: int) -> None:
        """One iteration is done."""
        for each in self.observers:
            each.stepped(images)

    def measured(self, row: dict[str, Any]) -> None:
        """A row was added to the metrics file."""
        for each in self.observers:
            each.measured(row)


class TrainingLog:
    """Writes rows to the observer and, on rank 0, to the metrics file.

    Args:
        metrics: The file; None on all ranks but the first.
        observer: Receives every row.
    """

    def __init__(self, metrics: MetricsFile | None, observer: Observer) -> None:
        self.metrics = metrics
        self.observer = observer

    def write(self, row: dict[str, Any]) -> None:
        """Write one row."""
        if self.metrics is not None:
            self.metrics.append(row)
        self.observer.measured(row)


class Clock:
    """Counts seconds and images since the last lap."""

    def __init__(self) -> None:
        self.images = 0
        self.start = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap; resets the count of images."""
        now = time.perf_counter()
        seconds, self.start, self.images = now - self.start, now, 0
        return seconds
