"""Our own part of the machine's load."""

import pytest

from capsedge.measure.bench.load import load_of_others, own_load


def kernel_average(running: float, seconds: int) -> float:
    """The average as a kernel keeps it, a step each 5 s from a quiet machine on: Linux's EXP_1 is 1884 / 2048."""
    average = 0.0
    for _ in range(seconds // 5):
        average = average * 1884 / 2048 + running * (1 - 1884 / 2048)
    return average


@pytest.mark.parametrize("seconds", [5, 30, 60, 300])
def test_our_load_is_what_the_kernel_makes_of_our_threads(seconds: int) -> None:
    assert own_load(2.0, seconds) == pytest.approx(kernel_average(2.0, seconds), rel=0.01)


def test_what_others_run_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capsedge.measure.bench.load._BEGAN", -60.0)
    monkeypatch.setattr("capsedge.measure.bench.load._USED", -120.0)
    monkeypatch.setattr("time.monotonic", lambda: 0.0)
    monkeypatch.setattr("time.process_time", lambda: 0.0)

    assert load_of_others(2.0) == pytest.approx(2.0 - kernel_average(2.0, 60), abs=0.01)
    assert load_of_others(0.5) == 0.0


def test_a_machine_that_does_not_tell_stays_unavailable() -> None:
    assert load_of_others("unavailable") == "unavailable"
