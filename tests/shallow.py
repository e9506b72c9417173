"""A small stack, on which a function that calls itself for each folder fails at a depth that tests can make."""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DEEP = 150
_FRAMES = 90


@contextmanager
def shallow() -> Iterator[None]:
    """Leave a call less than `DEEP` frames."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + _FRAMES)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
