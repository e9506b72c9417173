"""Keeping what was measured so far, so that a measurement that is cut off can go on."""

from collections.abc import Callable

from capsedge.measure.bench import clock

# Writing takes milliseconds, between two rounds; a cut loses this much at most.
SECONDS_BETWEEN = 10.0


class Keeping:
    """Calls what keeps the measurement, at most once in ten seconds."""

    def __init__(self, keep: Callable[[], None]) -> None:
        self._keep = keep
        self._kept_ns = clock.now_ns()

    def look(self) -> None:
        """Keep it, if it is time."""
        if clock.seconds_since(self._kept_ns) >= SECONDS_BETWEEN:
            self._keep()
            self._kept_ns = clock.now_ns()
