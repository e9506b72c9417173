"""The clock of the bench, which a test can replace, and what is kept out of what it times."""

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
    """Run Python's garbage collector now, and not again until the end."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Every:
    """Does something at most once in so many seconds; the first time no sooner than that from now.

    Args:
        seconds: The time between two calls of `action`.
        action: What to do.
    """

    def __init__(self, seconds: float, action: Callable[[], object]) -> None:
        self._seconds = seconds
        self._action = action
        self._last_ns = now_ns()

    def __call__(self) -> None:
        """Do it, if it is time."""
        if seconds_since(self._last_ns) >= self._seconds:
            self._action()
            self._last_ns = now_ns()
