"""The ratio of two sessions, on machines whose true ratio is known."""

import numpy as np
import pytest
from numpy.typing import NDArray

from capsedge.measure.bench.ratio import FEWEST_ROUNDS, ratio
from capsedge.measure.bench.report import Ratio

TRUE = 0.8


def turns(
    rng: np.random.Generator, rounds: int, runs: int, *, two_speeds: bool = False
) -> tuple[list[list[float]], list[list[float]]]:
    """Two sessions that take turns on a machine that drifts.

    The logarithm of the machine's speed is an AR(1) walk that both share, and may jump between two levels; each turn
    lies off by 3 % as a whole, so that its runs are correlated, and each run by 3 %, one in twenty by much more.
    """
    drift = np.zeros(rounds)
    for index in range(1, rounds):
        drift[index] = 0.9 * drift[index - 1] + 0.05 * rng.normal()
    if two_speeds:
        drift += np.log(3) * (np.cumsum(rng.random(rounds) < 0.05) % 2)

    def turn(latency_ms: float) -> NDArray[np.float64]:
        level = np.exp(drift + 0.03 * rng.normal(size=rounds))[:, None]
        tail = (rng.random((rounds, runs)) < 0.05) * rng.exponential(0.5, (rounds, runs))
        return latency_ms * level * np.exp(0.03 * rng.normal(size=(rounds, runs)) + tail)

    first, own = turn(1.0), turn(TRUE)
    return own.tolist(), first.tolist()


def covers(found: Ratio) -> bool:
    return found.low is not None and found.high is not None and found.low <= TRUE <= found.high


@pytest.mark.parametrize("two_speeds", [False, True])
def test_the_interval_covers_the_true_ratio_in_about_95_of_100_measurements(*, two_speeds: bool) -> None:
    """300 measurements of 20 rounds: 95 % less three standard errors of the count is 91 %."""
    rng = np.random.default_rng(11)

    covered = sum(covers(ratio(*turns(rng, 20, 8, two_speeds=two_speeds))) for _ in range(300))

    assert 0.91 <= covered / 300 < 1.0


def test_the_interval_of_runs_that_are_taken_for_independent_would_be_too_narrow() -> None:
    """What the rounds are for: each run a round of its own covers far less often than it says."""
    rng = np.random.default_rng(12)

    def as_runs(rounds: list[list[float]]) -> list[list[float]]:
        return [[sample] for one in rounds for sample in one]

    covered = sum(covers(ratio(*map(as_runs, turns(rng, 20, 8)))) for _ in range(40))

    assert covered / 40 < 0.85


def test_a_machine_of_two_speeds_leaves_the_ratio_as_it_is() -> None:
    first = [[1.0] * 8] * 11 + [[5.0] * 8] * 10
    own = [[0.5] * 8] * 10 + [[2.5] * 8] * 11  # slow from one round earlier on

    assert ratio(own, first).value == 0.5


@pytest.mark.parametrize(("runs", "others"), [(1, 101), (3, 101), (3, 7)])
def test_short_odd_turns_leave_a_session_as_fast_as_itself(runs: int, others: int) -> None:
    """A third of the runs is held up; turns of 2 against 100 would make it 1.6 % slower than itself."""
    rng = np.random.default_rng(9)

    def turns_of(count: int) -> list[list[float]]:
        held_up = (rng.random((4000, count)) < 0.3) * rng.exponential(0.5, (4000, count))
        found: list[list[float]] = np.exp(0.03 * rng.normal(size=(4000, count)) + held_up).tolist()
        return found

    assert ratio(turns_of(runs), turns_of(others)).value == pytest.approx(1.0, abs=0.006)


def test_turns_may_have_different_numbers_of_runs() -> None:
    first, own = [[4.0, 4.0, 9.0]] * 20, [[1.0] * 30] * 20

    assert ratio(own, first) == Ratio(value=0.25, low=0.25, high=0.25)


def test_too_few_rounds_have_no_interval() -> None:
    few = [[1.0, 2.0]] * (FEWEST_ROUNDS - 1)

    assert ratio(few, few) == Ratio(value=1.0, low=None, high=None)
    assert ratio([*few, [1.0]], [*few, [1.0]]).low is not None


def test_a_session_that_wins_by_noise_alone_has_an_interval_around_1() -> None:
    """The same model twice: 40 rounds in which each is now faster, now slower."""
    rng = np.random.default_rng(3)
    one, other = (rng.lognormal(0, 0.1, (40, 8)).tolist() for _ in range(2))

    found = ratio(one, other)

    assert found.low is not None
    assert found.high is not None
    assert found.low < 1.0 < found.high


def test_the_same_samples_always_give_the_same_interval() -> None:
    own, first = turns(np.random.default_rng(4), 20, 8)

    assert ratio(own, first) == ratio(own, first)
