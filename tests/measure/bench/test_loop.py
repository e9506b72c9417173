"""The warm-up and the rounds, on a clock that only the models move."""

from itertools import groupby, takewhile
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.measure.bench import loop
from capsedge.measure.bench.loop import (
    FEWEST_ROUNDS,
    LEAD_IN_MS,
    MOST_ROUNDS,
    Subject,
    agree,
    lead_in_iterations,
    run_rounds,
    turn_iterations,
    warm_up,
)
from capsedge.measure.bench.plan import TimingLimits, WarmupLimits
from tests.measure.bench.clocked import Clock, Timed, subject

LIMITS = WarmupLimits(seconds=1.0, iterations=50, window_seconds=0.1, window_iterations=5, longest_seconds=10.0)
# A latency of which no whole number makes a second, so that no clock is asked about a tie.
UNEVEN_MS = 1.2


@pytest.mark.parametrize("latency_ms", [UNEVEN_MS, 7.0, 70.0])
def test_a_steady_model_is_warm_after_a_second_and_50_iterations_and_the_current_window(
    clock: Clock, latency_ms: float
) -> None:
    warmup = warm_up(subject(Timed("a", clock, [latency_ms])), LIMITS)

    window = max(5, ceil(100 / latency_ms))
    fewest = max(50, ceil(1000 / latency_ms))
    assert warmup.settled
    assert warmup.iterations == window * ceil(fewest / window)
    assert warmup.seconds == pytest.approx(warmup.iterations * latency_ms / 1000)


def test_a_model_that_gets_faster_is_run_until_three_windows_agree(clock: Clock) -> None:
    """It speeds up for 2 s; three windows of 0.1 s later it has settled."""
    model = Timed("a", clock, lambda _: max(1.0, 10.0 - 4.5 * clock.nanoseconds / 1e9))

    warmup = warm_up(subject(model), LIMITS)

    assert warmup.settled
    assert 2.1 < warmup.seconds < 2.7


def test_a_model_that_never_settles_is_given_up_after_the_longest_time(clock: Clock) -> None:
    slower_and_slower = Timed("a", clock, lambda run: 1.01**run)

    warmup = warm_up(subject(slower_and_slower), LIMITS)

    assert not warmup.settled
    assert 10.0 <= warmup.seconds < 10.2


@pytest.mark.parametrize(("latency_ms", "iterations"), [(3000.0, 4), (800.0, 13)])
def test_a_slow_model_ends_at_the_longest_time_and_its_last_window_does_not_count(
    clock: Clock, latency_ms: float, iterations: int
) -> None:
    """With 0.8 s, two windows of five iterations are complete after 8 s, and the third has three after 10.4 s."""
    warmup = warm_up(subject(Timed("a", clock, [latency_ms])), LIMITS)

    assert (warmup.iterations, warmup.settled) == (iterations, False)


def test_idle_time_before_each_query_counts_and_shortens_the_warm_up(clock: Clock) -> None:
    model = Timed("a", clock, [1.0])

    warmup = warm_up(subject(model, interval_ms=332.0), LIMITS)

    assert warmup.iterations == ceil(10_000 / 333)
    assert warmup.settled
    assert clock.ran == ["idle", "a"] * warmup.iterations


def test_it_leaves_the_median_and_the_mean_latency_behind_without_the_first_window(clock: Clock) -> None:
    """Every tenth run is held up, as on a busy machine; the rounds are laid out for the time that they will take."""
    warming = subject(Timed("a", clock, lambda run: 500.0 if run == 0 else 21.0 if run % 10 == 0 else 1.0))

    warm_up(warming, LIMITS)

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


def exactly(iterations: int) -> TimingLimits:
    return TimingLimits(0.0, iterations, inf, exact=True)


def subjects(clock: Clock, interval_ms: float = 0.0, **latencies_ms: float) -> list[Subject]:
    return [
        subject(Timed(name, clock, [latency]), typical_ms=latency, interval_ms=interval_ms)
        for name, latency in latencies_ms.items()
    ]


def test_the_sessions_take_turns_in_rounds_of_changing_but_reproducible_order(clock: Clock) -> None:
    run_rounds(subjects(clock, a=2.0, b=2.0, c=2.0), exactly(100))
    first = list(clock.ran)
    clock.ran.clear()
    run_rounds(subjects(clock, a=2.0, b=2.0, c=2.0), exactly(100))
    assert clock.ran == first

    turn = ceil(LEAD_IN_MS / 2.0) + 5
    rounds = [clock.ran[start : start + 3 * turn] for start in range(0, len(clock.ran), 3 * turn)]
    orders = {tuple(one[::turn]) for one in rounds}
    assert len(rounds) == FEWEST_ROUNDS
    assert all(one == [name for name in one[::turn] for _ in range(turn)] for one in rounds)
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(orders) > 1


@pytest.mark.parametrize(("latency_ms", "untimed"), [(1.2, 5), (2.0, 3), (100.0, 1)])
def test_a_turn_starts_with_untimed_iterations(clock: Clock, latency_ms: float, untimed: int) -> None:
    """Both models take 50 ms longer in the first `untimed` iterations after the other's turn, and nobody sees it."""

    def cold_at_first(name: str) -> Timed:
        def latency(_: int) -> float:
            warm = sum(1 for _ in takewhile(lambda ran: ran == name, reversed(clock.ran))) > untimed
            return latency_ms if warm else latency_ms + 50.0

        return Timed(name, clock, latency)

    two = [subject(cold_at_first(name), typical_ms=latency_ms) for name in "ab"]
    run_rounds(two, exactly(20))

    assert {sample for each in two for sample in each.samples_ms} == {latency_ms}
    assert min(len(list(turn)) for _, turn in groupby(clock.ran)) == untimed + 1


@pytest.mark.parametrize("iterations", [1, 7, 19, 20, 21, 100, 161, 801])
def test_iterations_are_exact_and_only_they_are_timed(clock: Clock, iterations: int) -> None:
    two = subjects(clock, a=1.0, b=3.0)

    run_rounds(two, exactly(iterations), progress=lambda _: clock.advance(1000), between=lambda: clock.advance(1000))

    assert [set(each.samples_ms) for each in two] == [{1.0}, {3.0}]
    assert [each.iterations for each in two] == [iterations, iterations]
    assert len(two[0].rounds) == len(two[1].rounds)
    assert all(one for each in two for one in each.rounds)


def test_every_session_gets_its_seconds_and_iterations_and_few_more(clock: Clock) -> None:
    """A fast session makes more iterations in a turn than a slow one, or the slow one would have to wait for it."""
    fast, slow = subjects(clock, fast=0.1, slow=40.0)

    run_rounds([fast, slow], TimingLimits(10.0, 662, 180.0))

    assert 10.0 <= fast.seconds < 11.0
    assert 662 <= slow.iterations < 673
    assert len(fast.rounds) == len(slow.rounds) >= 50


def test_idle_time_counts_as_time_of_a_session(clock: Clock) -> None:
    (alone,) = subjects(clock, interval_ms=99.0, a=1.0)

    run_rounds([alone], TimingLimits(10.0, 20, 180.0))

    assert 100 <= alone.iterations < 110
    assert len(alone.rounds) == FEWEST_ROUNDS
    assert set(alone.samples_ms) == {1.0}
    assert clock.ran == ["idle", "a"] * alone.iterations  # a session alone has no lead-in


def test_the_lead_in_keeps_the_interval_too(clock: Clock) -> None:
    run_rounds(subjects(clock, interval_ms=33.0, a=1.0, b=1.0), exactly(20))

    assert clock.ran[::2] == ["idle"] * (2 * 20 * 2)  # one run of a lead-in and one that is timed, of both, 20 times


def test_sessions_that_cannot_reach_the_aim_end_after_their_longest_time(clock: Clock) -> None:
    two = subjects(clock, a=500.0, b=1000.0)

    run_rounds(two, TimingLimits(10.0, 662, 60.0))

    assert 120.0 <= clock.nanoseconds / 1e9 < 140.0
    assert min(each.iterations for each in two) >= 20


def test_a_busy_machine_gets_its_rounds_by_the_mean_and_its_lead_in_by_the_median(clock: Clock) -> None:
    (held_up,) = subjects(clock, a=1.0)
    held_up.mean_ms = 5.0

    assert turn_iterations([held_up], TimingLimits(10.0, 662, 180.0)) == [21]  # 2000 iterations in 100 rounds
    assert lead_in_iterations(held_up) == 5


@pytest.mark.parametrize("aim", [exactly(100), TimingLimits(1.0, 64, 10.0), TimingLimits(10.0, 662, 0.5)])
def test_progress_rises_to_1(clock: Clock, aim: TimingLimits) -> None:
    shares: list[float] = []

    run_rounds(subjects(clock, a=1.0, b=2.0), aim, progress=shares.append)

    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] == 1.0


@pytest.mark.parametrize(
    ("latencies_ms", "turns", "rounds"),
    [((1.0,), [101], MOST_ROUNDS), ((20.0, 1.0), [7, 107], 95), ((2000.0,), [3], 30)],
)
def test_the_rounds_are_neither_too_few_for_a_bootstrap_nor_many_short_ones(
    clock: Clock, latencies_ms: tuple[float, ...], turns: list[int], rounds: int
) -> None:
    """10,000, 662 and 90 iterations of the slowest."""
    aim = TimingLimits(10.0, 662, 180.0)
    laid_out = subjects(clock, **{f"m{latency}": latency for latency in latencies_ms})

    assert turn_iterations(laid_out, aim) == turns

    run_rounds(laid_out, aim)
    assert len(laid_out[0].rounds) == rounds


@given(iterations=st.integers(1, 3000), others=st.lists(st.floats(0.05, 50.0), max_size=3))
def test_turns_are_odd_and_leave_20_rounds_and_not_many_more_than_100(iterations: int, others: list[float]) -> None:
    """The median of an even few iterations leans to the tail."""
    named = [subject(Timed("a", Clock(), [1.0]), typical_ms=latency) for latency in (1.0, *others)]

    exact, timed = (
        turn_iterations(named, exactly(iterations)),
        turn_iterations(named, TimingLimits(1.0, iterations, 10.0)),
    )

    assert all(turn % 2 == 1 for turn in (*exact, *timed))
    assert min(FEWEST_ROUNDS, iterations) <= ceil(iterations / exact[0]) <= MOST_ROUNDS


def test_the_rounds_continue_until_the_session_that_is_furthest_behind_has_its_time(clock: Clock) -> None:
    """One is ten times as fast as in its warm-up, so that its turns are too short."""
    two = [subject(Timed(name, clock, [1.0]), typical_ms=latency) for name, latency in (("a", 1.0), ("b", 10.0))]

    run_rounds(two, TimingLimits(10.0, 662, 180.0))

    assert min(each.seconds for each in two) >= 10.0


@pytest.mark.parametrize("iterations", [7, 100, 161])
def test_rounds_of_an_earlier_process_count_and_the_order_continues(clock: Clock, iterations: int) -> None:
    whole = subjects(clock, a=1.0, b=2.0, c=3.0)
    run_rounds(whole, exactly(iterations))
    ran = [name for name, _ in groupby(clock.ran)]
    clock.ran.clear()
    begun = subjects(clock, a=1.0, b=2.0, c=3.0)
    for one, all_of_it in zip(begun, whole, strict=True):
        one.rounds = list(all_of_it.rounds[:5])

    run_rounds(begun, exactly(iterations))

    assert [each.rounds for each in begun] == [each.rounds for each in whole]
    assert ran[-3:] == [name for name, _ in groupby(clock.ran)][-3:]


def test_the_time_and_iterations_of_an_earlier_process_count_in_the_limits(clock: Clock) -> None:
    done, slow = subjects(clock, a=1.0, b=1000.0)
    run_rounds([done], exactly(20))
    clock.ran.clear()
    run_rounds([done], exactly(20))
    assert (clock.ran, done.iterations) == ([], 20)
    slow.rounds = [[1000.0] * 3] * 15

    run_rounds([slow], TimingLimits(10.0, 662, 60.0))

    assert 60 <= slow.iterations < 64


@pytest.mark.parametrize(("longest_s", "seconds"), [(180.0, 10.0), (10.0, 1.0)])
def test_the_turns_of_clients_of_a_slow_model_fit_into_the_longest_time(
    longest_s: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def answered(*_: object, seconds: float, lead_in_s: float, **__: object) -> list[float]:
        asked.append(seconds + lead_in_s)
        return [1000.0]

    monkeypatch.setattr(loop, "closed_loop", answered)
    slow = subject(Timed("slow", Clock(), [1000.0]), typical_ms=1000.0)
    slow.clients = 32

    run_rounds([slow], TimingLimits(seconds, 20, longest_s))

    assert len(asked) >= 20
    assert 20 * max(asked) <= longest_s * 1.001
