"""The warm-up, on a clock that only the model moves."""

from math import ceil

import pytest

from capsedge.measure.bench.limits import Settling
from capsedge.measure.bench.warmup import agree, warm_up
from tests.measure.bench.clocked import Clock, Timed, subject

SETTLING = Settling(seconds=1.0, runs=50, window_seconds=0.1, window_runs=5, longest_seconds=10.0)
# A latency of which no whole number makes a second, so that no clock is asked about a tie.
UNEVEN_MS = 1.2


@pytest.mark.parametrize("latency_ms", [UNEVEN_MS, 7.0, 70.0])
def test_a_steady_model_is_warm_after_a_second_and_50_runs_and_the_window_under_way(
    clock: Clock, latency_ms: float
) -> None:
    warmup = warm_up(subject(Timed("a", clock, [latency_ms])), SETTLING)

    window = max(5, ceil(100 / latency_ms))
    fewest = max(50, ceil(1000 / latency_ms))
    assert warmup.settled
    assert warmup.runs == window * ceil(fewest / window)
    assert warmup.seconds == pytest.approx(warmup.runs * latency_ms / 1000)


def test_a_model_that_gets_faster_is_run_until_three_windows_agree(clock: Clock) -> None:
    """It speeds up for 2 s; three windows of 0.1 s later it has settled."""
    model = Timed("a", clock, lambda _: max(1.0, 10.0 - 4.5 * clock.nanoseconds / 1e9))

    warmup = warm_up(subject(model), SETTLING)

    assert warmup.settled
    assert 2.1 < warmup.seconds < 2.7


def test_a_model_that_never_settles_is_given_up_after_the_longest_time(clock: Clock) -> None:
    slower_and_slower = Timed("a", clock, lambda run: 1.01**run)

    warmup = warm_up(subject(slower_and_slower), SETTLING)

    assert not warmup.settled
    assert 10.0 <= warmup.seconds < 10.2


def test_a_slow_model_ends_within_its_longest_time_and_has_not_settled(clock: Clock) -> None:
    warmup = warm_up(subject(Timed("a", clock, [3000.0])), SETTLING)

    assert (warmup.runs, warmup.settled) == (4, False)


def test_a_window_that_the_longest_time_cuts_off_does_not_count(clock: Clock) -> None:
    """Of 0.8 s a run, two windows of five runs are whole after 8 s, and the third has three runs after 10.4 s."""
    warmup = warm_up(subject(Timed("a", clock, [800.0])), SETTLING)

    assert (warmup.runs, warmup.settled) == (13, False)


def test_idle_time_before_each_query_counts_and_shortens_the_warm_up(clock: Clock) -> None:
    model = Timed("a", clock, [1.0])

    warmup = warm_up(subject(model, interval_ms=332.0), SETTLING)

    assert warmup.runs == ceil(10_000 / 333)
    assert warmup.settled
    assert clock.ran == ["idle", "a"] * warmup.runs


def test_it_leaves_the_median_and_the_mean_latency_behind_without_the_first_window(clock: Clock) -> None:
    """Every tenth run is held up, as on a busy machine; the rounds are laid out for the time that they will take."""
    warming = subject(Timed("a", clock, lambda run: 500.0 if run == 0 else 21.0 if run % 10 == 0 else 1.0))

    warm_up(warming, SETTLING)

    assert warming.median_ms == 1.0
    assert warming.mean_ms == pytest.approx(3.0, rel=0.05)
    assert warming.rounds == []


@pytest.mark.parametrize(
    ("medians", "settled"),
    [
        ([1.0, 1.0], False),
        ([1.0, 1.05, 1.02], True),
        ([1.0, 1.06, 1.02], False),
        ([9.0, 1.0, 1.0, 1.0], True),
        ([1.0, 1.04, 1.08], False),  # neighbours agree, but it drifts
    ],
)
def test_windows_agree_within_5_percent(medians: list[float], *, settled: bool) -> None:
    assert agree(medians) is settled
