"""What the clock keeps out of the timed iterations, and what it does only now and then."""

import gc

import pytest

from capsedge.measure.bench.clock import Every, no_garbage_collection
from tests.measure.bench.clocked import Clock


def test_an_error_within_does_not_leave_it_off() -> None:
    with pytest.raises(KeyboardInterrupt), no_garbage_collection():
        raise KeyboardInterrupt

    assert gc.isenabled()


def test_who_had_it_off_keeps_it_off() -> None:
    gc.disable()
    try:
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_an_action_is_done_at_most_once_in_its_time(clock: Clock) -> None:
    done_at: list[int] = []
    every = Every(1.0, lambda: done_at.append(clock.nanoseconds))

    for _ in range(50):
        clock.advance(100)
        every()

    assert done_at == [1_000_000_000 * second for second in range(1, 6)]
