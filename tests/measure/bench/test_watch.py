"""Looking at the GPU between the rounds."""

import pytest

from capsedge.measure.bench import watch as module
from capsedge.measure.bench.watch import Watch
from capsedge.measure.machine import Conditions
from tests.measure.bench.clocked import Clock

COOL = Conditions(gpu_throttling=())


def test_every_reason_is_kept_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    states = iter([("thermal",), (), ("power", "thermal")])
    monkeypatch.setattr(module, "conditions", lambda: Conditions(gpu_throttling=next(states)))
    watch = Watch(COOL)

    for _ in range(3):
        clock.advance(1000)
        watch.look()

    assert list(watch.reasons) == ["thermal", "power"]


def test_it_looks_at_most_once_a_second(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def state() -> Conditions:
        looks.append(clock.nanoseconds)
        return COOL

    monkeypatch.setattr(module, "conditions", state)
    watch = Watch(COOL)
    for _ in range(50):
        clock.advance(100)
        watch.look()

    assert len(looks) == 5


def test_it_asks_nothing_where_there_is_no_gpu(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "conditions", lambda: pytest.fail("asked"))
    watch = Watch(Conditions())
    clock.advance(5000)

    watch.look()

    assert watch.reasons == {}
