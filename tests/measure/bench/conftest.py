"""What the tests of the bench share."""

import pytest

from capsedge.measure.bench import clock as module
from tests.measure.bench.clocked import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the bench ask a clock that only the models move."""
    clock = Clock()
    monkeypatch.setattr(module, "now_ns", clock.now_ns)
    monkeypatch.setattr(module, "sleep", clock.sleep)
    return clock
