"""A simulated clock, and models with given latencies that advance it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from capsedge.contract import Contract
from capsedge.measure.bench.loop import Subject
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import QueryBreakdown, Session
from capsedge.runtime.settings import Settings


@dataclass
class Clock:
    """A simulated clock.

    Attributes:
        ran: The name of each model that ran, and `idle` for each wait, in order.
    """

    nanoseconds: int = 0
    ran: list[str] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.nanoseconds

    def sleep(self, seconds: float) -> None:
        self.ran.append("idle")
        self.advance(1000 * seconds)

    def advance(self, milliseconds: float) -> None:
        self.nanoseconds += round(1e6 * milliseconds)


class Timed(Session):
    """A model whose iterations take the given times; the last one repeats."""

    def __init__(self, name: str, clock: Clock, latencies_ms: Sequence[float] | Callable[[int], float]) -> None:
        self.name, self.file, self.provider = name, Path(name), "CPUExecutionProvider"
        self.contract: Contract | None = None
        self.batch_limits: tuple[int, int] | None = None
        self.settings = Settings()
        self.load_ms: float | None = 12.0
        self.fell_back: tuple[str, ...] = ()
        self.iterations = 0
        self._clock = clock
        self._latency = latencies_ms if callable(latencies_ms) else self._listed(latencies_ms)

    def feeds(self, batch: int) -> Arrays:
        return {"x": np.zeros(batch)}

    def run_raw(self, feeds: Arrays) -> Arrays:
        self._clock.ran.append(self.name)
        self._clock.advance(self._latency(self.iterations))
        self.iterations += 1
        return feeds

    def run_with_breakdown(self, feeds: Arrays) -> QueryBreakdown:
        self.run_raw(feeds)
        return QueryBreakdown(0.25, 1.5, 0.125)

    def close(self) -> None:
        pass

    @staticmethod
    def _listed(latencies_ms: Sequence[float]) -> Callable[[int], float]:
        return lambda run: latencies_ms[min(run, len(latencies_ms) - 1)]


def subject(session: Session, *, typical_ms: float = 1.0, interval_ms: float = 0.0, batch: int = 1) -> Subject:
    """A session under measurement, as its warm-up leaves it."""
    return Subject(session.name, session, session.feeds(batch), batch, interval_ms, typical_ms, typical_ms)
