"""What a training tells while it goes: to an observer, and into its metrics file."""

import time
from typing import Any, Protocol

from capsedge.training.checkpoint import Position
from capsedge.training.metrics import MetricsFile


class Observer(Protocol):
    """What a training tells while it goes; the command line draws it."""

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """Training starts or resumes at `position`."""

    def stepped(self, images: int) -> None:
        """One iteration is done."""

    def measured(self, row: dict[str, Any]) -> None:
        """A row was added to the metrics file."""


class Observers:
    """Several observers as one; each is told in their order.

    Args:
        observers: Who they are.
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
    """Where rows go: to the observer, and on rank 0 into the metrics file.

    Args:
        metrics: The file; None on all ranks but the first.
        observer: Who is told.
    """

    def __init__(self, metrics: MetricsFile | None, observer: Observer) -> None:
        self.metrics = metrics
        self.observer = observer

    def write(self, row: dict[str, Any]) -> None:
        """Pass a row on."""
        if self.metrics is not None:
            self.metrics.append(row)
        self.observer.measured(row)


class Clock:
    """Seconds, and images, since it was last asked."""

    def __init__(self) -> None:
        self.images = 0
        self.start = time.perf_counter()

    def lap(self) -> float:
        """Seconds since the last lap; the images start anew too."""
        now = time.perf_counter()
        seconds, self.start, self.images = now - self.start, now, 0
        return seconds
