"""Looks at the GPU between the rounds: it may slow itself down and be well again before the end."""

from capsedge.measure.bench import clock
from capsedge.measure.machine import Conditions, conditions

_SECONDS_BETWEEN = 1.0


class Watch:
    """Collects the reasons for which the GPU slows itself down.

    Attributes:
        reasons: Those seen so far, each once.
    """

    def __init__(self, before: Conditions) -> None:
        self.reasons: dict[str, None] = {}
        self._tells = before.gpu_throttling != "unavailable"
        self._looked_ns = clock.now_ns()

    def look(self) -> None:
        """Ask, at most once a second, and only where there is an answer to be had."""
        if self._tells and clock.seconds_since(self._looked_ns) >= _SECONDS_BETWEEN:
            self.reasons |= dict.fromkeys(throttling(conditions()))
            self._looked_ns = clock.now_ns()


def throttling(state: Conditions) -> tuple[str, ...]:
    """The reasons at one moment; none where they are not known."""
    return () if state.gpu_throttling == "unavailable" else state.gpu_throttling
