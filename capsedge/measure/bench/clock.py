"""The clock of the bench: all of it asks the time here, so that a test can hold it."""

import time

now_ns = time.perf_counter_ns
sleep = time.sleep


def seconds_since(start_ns: int) -> float:
    """Seconds since an earlier `now_ns()`."""
    return (now_ns() - start_ns) / 1e9
