"""The garbage collector during the timed iterations, and periodic actions."""

import gc

import pytest

from capsedge.measure.bench.clock import Every, no_garbage_collection
from tests.measure.bench.clocked import Clock


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_is_as_before_after_an_error(*, enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(KeyboardInterrupt), no_garbage_collection():
            raise KeyboardInterrupt
        assert gc.isenabled() is enabled
    finally:
        gc.enable()


def test_an_action_is_done_at_most_once_in_its_time(clock: Clock) -> None:
    done_at: list[int] = []
    every = Every(1.0, lambda: done_at.append(clock.nanoseconds))

    for _ in range(50):
        clock.advance(100)
        every()

    assert done_at == [1_000_000_000 * second for second in range(1, 6)]
