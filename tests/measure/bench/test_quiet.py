"""Python's garbage collector during a measurement."""

import gc

import pytest

from capsedge.measure.bench.quiet import no_garbage_collection


def test_nothing_is_collected_within() -> None:
    with no_garbage_collection():
        assert not gc.isenabled()

    assert gc.isenabled()


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
