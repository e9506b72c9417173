"""How much of the machine's load average is our own: a sweep must not be taken for another program."""

import time
from math import exp

from capsedge.measure.machine import Reading

_MINUTE = 60.0
_BEGAN, _USED = time.monotonic(), time.process_time()


def load_of_others(average: Reading) -> Reading:
    """Take this process's own part out of a load average that was read now.

    The kernel lets the average approach the number of running threads with a time constant of a minute. Ours is taken
    as if this process had run evenly since it began to measure: the processor time since over the time since.

    Args:
        average: The load average of the last minute.
    """
    if average == "unavailable":
        return average
    seconds = max(time.monotonic() - _BEGAN, 1e-3)
    return max(0.0, average - own_load((time.process_time() - _USED) / seconds, seconds))


def own_load(running: float, seconds: float) -> float:
    """What so many running threads add to the load average of a minute within so many seconds."""
    return running * (1 - exp(-seconds / _MINUTE))
