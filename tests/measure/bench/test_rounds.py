"""The rounds, on a clock that only the models move."""

from itertools import groupby, takewhile
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capsedge.measure.bench.limits import Aim
from capsedge.measure.bench.rounds import FEWEST_ROUNDS, LEAD_IN_MS, MOST_ROUNDS, lead_in_runs, run_rounds, turn_runs
from capsedge.measure.bench.subject import Subject
from tests.measure.bench.clocked import Clock, Timed, subject


def exactly(runs: int) -> Aim:
    return Aim(0.0, runs, inf, exact=True)


def subjects(clock: Clock, interval_ms: float = 0.0, **latencies_ms: float) -> list[Subject]:
    return [
        subject(Timed(name, clock, [latency]), typical_ms=latency, interval_ms=interval_ms)
        for name, latency in latencies_ms.items()
    ]


def test_the_sessions_take_turns_in_rounds_of_changing_order(clock: Clock) -> None:
    three = subjects(clock, a=2.0, b=2.0, c=2.0)

    run_rounds(three, exactly(100))

    turn = ceil(LEAD_IN_MS / 2.0) + 5
    rounds = [clock.ran[start : start + 3 * turn] for start in range(0, len(clock.ran), 3 * turn)]
    orders = {tuple(one[::turn]) for one in rounds}
    assert len(rounds) == FEWEST_ROUNDS
    assert all(one == [name for name in one[::turn] for _ in range(turn)] for one in rounds)
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert len(orders) > 1


def test_the_order_is_the_same_in_every_measurement(clock: Clock) -> None:
    logs = []
    for _ in range(2):
        clock.ran.clear()
        run_rounds(subjects(clock, a=1.0, b=1.0, c=1.0), exactly(40))
        logs.append(list(clock.ran))

    assert logs[0] == logs[1]


@pytest.mark.parametrize(("latency_ms", "untimed"), [(1.2, 5), (2.0, 3), (100.0, 1)])
def test_a_turn_begins_with_runs_that_are_not_timed(clock: Clock, latency_ms: float, untimed: int) -> None:
    """Both models take 50 ms longer in the first `untimed` runs after the other's turn, and nobody sees it."""

    def cold_at_first(name: str) -> Timed:
        def latency(_: int) -> float:
            warm = sum(1 for _ in takewhile(lambda ran: ran == name, reversed(clock.ran))) > untimed
            return latency_ms if warm else latency_ms + 50.0

        return Timed(name, clock, latency)

    two = [subject(cold_at_first(name), typical_ms=latency_ms) for name in "ab"]
    run_rounds(two, exactly(20))

    assert {sample for each in two for sample in each.samples_ms} == {latency_ms}
    assert min(len(list(turn)) for _, turn in groupby(clock.ran)) == untimed + 1


def test_a_session_alone_is_timed_in_every_run(clock: Clock) -> None:
    (alone,) = subjects(clock, a=1.0)

    run_rounds([alone], exactly(50))

    assert len(clock.ran) == alone.runs == 50


@pytest.mark.parametrize("runs", [1, 7, 19, 20, 21, 100, 161, 801])
def test_runs_are_counted_exactly(clock: Clock, runs: int) -> None:
    two = subjects(clock, a=1.0, b=3.0)

    run_rounds(two, exactly(runs))

    assert [each.runs for each in two] == [runs, runs]
    assert len(two[0].rounds) == len(two[1].rounds)
    assert all(one for each in two for one in each.rounds)


def test_every_session_gets_its_seconds_and_its_runs_and_hardly_more(clock: Clock) -> None:
    """A fast session makes more runs in a turn than a slow one, or the slow one would have to wait for it."""
    fast, slow = subjects(clock, fast=0.1, slow=40.0)

    run_rounds([fast, slow], Aim(10.0, 662, 180.0))

    assert 10.0 <= fast.seconds < 11.0
    assert 662 <= slow.runs < 673
    assert len(fast.rounds) == len(slow.rounds) >= 50


def test_idle_time_counts_as_time_of_a_session(clock: Clock) -> None:
    (alone,) = subjects(clock, interval_ms=99.0, a=1.0)

    run_rounds([alone], Aim(10.0, 20, 180.0))

    assert 100 <= alone.runs < 110
    assert len(alone.rounds) == FEWEST_ROUNDS
    assert set(alone.samples_ms) == {1.0}
    assert clock.ran[:4] == ["idle", "a", "idle", "a"]


def test_the_lead_in_keeps_the_cadence_too(clock: Clock) -> None:
    run_rounds(subjects(clock, interval_ms=33.0, a=1.0, b=1.0), exactly(20))

    assert clock.ran[::2] == ["idle"] * (2 * 20 * 2)  # one run of a lead-in and one that is timed, of both, 20 times


def test_sessions_that_cannot_reach_the_aim_end_after_their_longest_time(clock: Clock) -> None:
    two = subjects(clock, a=500.0, b=1000.0)

    run_rounds(two, Aim(10.0, 662, 60.0))

    assert 120.0 <= clock.nanoseconds / 1e9 < 140.0
    assert min(each.runs for each in two) >= 20


def test_a_session_that_speeds_up_after_the_warm_up_still_gets_its_seconds(clock: Clock) -> None:
    hurried = subject(Timed("a", clock, [1.0]), typical_ms=10.0)

    run_rounds([hurried], Aim(10.0, 662, 180.0))

    assert hurried.seconds >= 10.0


def test_what_happens_between_the_rounds_is_not_timed(clock: Clock) -> None:
    two = subjects(clock, a=1.0, b=2.0)

    run_rounds(two, exactly(40), progress=lambda _: clock.advance(1000), between=lambda: clock.advance(1000))

    assert [set(each.samples_ms) for each in two] == [{1.0}, {2.0}]


def test_a_busy_machine_gets_its_rounds_by_the_mean_and_its_lead_in_by_the_median(clock: Clock) -> None:
    (held_up,) = subjects(clock, a=1.0)
    held_up.mean_ms = 5.0

    assert turn_runs([held_up], Aim(10.0, 662, 180.0)) == [21]  # 2000 runs in 100 rounds
    assert lead_in_runs(held_up) == 5


@pytest.mark.parametrize("aim", [exactly(100), Aim(1.0, 64, 10.0), Aim(10.0, 662, 0.5)])
def test_progress_rises_to_1(clock: Clock, aim: Aim) -> None:
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
    """10,000, 662 and 90 runs of the slowest."""
    aim = Aim(10.0, 662, 180.0)
    laid_out = subjects(clock, **{f"m{latency}": latency for latency in latencies_ms})

    assert turn_runs(laid_out, aim) == turns

    run_rounds(laid_out, aim)
    assert len(laid_out[0].rounds) == rounds


@given(runs=st.integers(1, 3000), others=st.lists(st.floats(0.05, 50.0), max_size=3))
def test_turns_are_odd_and_leave_20_rounds_and_not_many_more_than_100(runs: int, others: list[float]) -> None:
    """The median of an even few runs leans to the tail."""
    named = [subject(Timed("a", Clock(), [1.0]), typical_ms=latency) for latency in (1.0, *others)]

    exact, timed = turn_runs(named, exactly(runs)), turn_runs(named, Aim(1.0, runs, 10.0))

    assert all(turn % 2 == 1 for turn in (*exact, *timed))
    assert min(FEWEST_ROUNDS, runs) <= ceil(runs / exact[0]) <= MOST_ROUNDS


@pytest.mark.parametrize("runs", [20, 21, 30, 41, 61, 64, 100, 161])
def test_runs_that_are_asked_for_keep_the_rounds_of_an_interval(clock: Clock, runs: int) -> None:
    two = subjects(clock, a=1.0, b=3.0)

    run_rounds(two, exactly(runs))

    assert len(two[0].rounds) >= FEWEST_ROUNDS


@pytest.mark.parametrize("hurried", ["a", "b"])
def test_the_rounds_go_on_until_the_session_that_lacks_most_has_its_time(clock: Clock, hurried: str) -> None:
    """One is ten times as fast as in its warm-up, so that its turns are too short."""
    two = [subject(Timed(name, clock, [1.0]), typical_ms=10.0 if name == hurried else 1.0) for name in "ab"]

    run_rounds(two, Aim(10.0, 662, 180.0))

    assert min(each.seconds for each in two) >= 10.0


@pytest.mark.parametrize("runs", [7, 100, 161])
def test_rounds_of_an_earlier_process_count_and_the_order_goes_on(clock: Clock, runs: int) -> None:
    whole = subjects(clock, a=1.0, b=2.0, c=3.0)
    run_rounds(whole, exactly(runs))
    ran = [name for name, _ in groupby(clock.ran)]
    clock.ran.clear()
    begun = subjects(clock, a=1.0, b=2.0, c=3.0)
    for one, all_of_it in zip(begun, whole, strict=True):
        one.rounds = list(all_of_it.rounds[:5])

    run_rounds(begun, exactly(runs))

    assert [each.rounds for each in begun] == [each.rounds for each in whole]
    assert ran[-3:] == [name for name, _ in groupby(clock.ran)][-3:]


def test_an_earlier_process_that_made_all_rounds_leaves_none_to_make(clock: Clock) -> None:
    (done,) = subjects(clock, a=1.0)
    run_rounds([done], exactly(20))
    clock.ran.clear()

    run_rounds([done], exactly(20))

    assert clock.ran == []
    assert done.runs == 20


def test_the_time_of_an_earlier_process_counts_in_the_longest_time(clock: Clock) -> None:
    (slow,) = subjects(clock, a=1000.0)
    slow.rounds = [[1000.0] * 3] * 15

    run_rounds([slow], Aim(10.0, 662, 60.0))

    assert 60 <= slow.runs < 64
