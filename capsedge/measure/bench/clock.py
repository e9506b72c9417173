"""Clock of the measurements, replaceable in tests, and tools to keep other work out of the timed iterations."""

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

now_ns = time.perf_counter_ns
sleep = time.sleep


def seconds_since(start_ns: int) -> float:
    """Seconds since an earlier `now_ns()`."""
    return (now_ns() - start_ns) / 1e9


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Run the garbage collector once, then disable it in the block."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Every:
    """Calls an action at most once per period; the first period starts now.

    Args:
        seconds: Length of the period.
        action: The action.
    """

    def __init__(self, seconds: float, action: Callable[[], object]) -> None:
        self._seconds = seconds
        self._action = action
        self._last_ns = now_ns()

    def __call__(self) -> None:
        """Call the action if the period is over."""
        if seconds_since(self._last_ns) >= self._seconds:
            self._action()
            self._last_ns = now_ns()
