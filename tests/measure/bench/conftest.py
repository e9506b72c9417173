"""Shared fixtures of the tests of bench."""

import pytest

from capsedge.measure.bench import clock as module
from tests.measure.bench.clocked import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A simulated clock that only the models advance."""
    clock = Clock()
    monkeypatch.setattr(module, "now_ns", clock.now_ns)
    monkeypatch.setattr(module, "sleep", clock.sleep)
    return clock
