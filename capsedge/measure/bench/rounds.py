"""The measurement: sessions take turns, in rounds of shuffled order, so that the machine's moods hit all alike."""

import random
from collections.abc import Callable, Sequence
from math import ceil

from capsedge.measure.bench import clock
from capsedge.measure.bench.limits import Aim
from capsedge.measure.bench.subject import Subject

# A turn begins with runs that are not timed, one at least and for about this long. Without them a model would pay for
# the caches that the others' turns emptied: a model of 0.15 ms was 40 % slower just after a turn of one of 2 ms, and
# as fast as alone after 2 ms. Their number is fixed beforehand. Where the clock ended them, it mostly did so within a
# run that another program held up, and on a busy machine the first timed run was 50 % slower than the later ones.
LEAD_IN_MS = 5.0

# Turns of 7 runs, or longer where that would make more than 100 rounds: each begins with a lead-in that is lost.
# Shorter where it would make fewer than 20, which a bootstrap over the rounds needs. Always an odd number: the median
# of an even few lies between the middle two and leans to the tail. A session against itself, with turns of 2 against
# 100 and a heavy tail, came out 2 % slower than itself.
TURN_RUNS = 7
MOST_ROUNDS = 100
FEWEST_ROUNDS = 20

_SEED = 20260101


def run_rounds(
    subjects: Sequence[Subject],
    aim: Aim,
    *,
    progress: Callable[[float], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Fill `Subject.rounds` until every subject has reached the aim, or all of them their longest time.

    Args:
        subjects: Warmed up. Rounds that they already have, of an earlier process, count.
        aim: How long.
        progress: Called after each round with the share done, 0 to 1.
        between: Called after each round; what it does is not timed.

    Raises:
        ModelError: A model fails.
    """
    turns = turn_runs(subjects, aim)
    order = list(range(len(subjects)))
    shuffle = random.Random(_SEED).shuffle
    for _ in subjects[0].rounds:
        shuffle(order)
    earlier, start = sum(subject.seconds for subject in subjects), clock.now_ns()
    share = _share(subjects, aim, earlier)
    while share < 1:
        shuffle(order)
        for index in order:
            subject = subjects[index]
            timed = min(turns[index], aim.runs - subject.runs) if aim.exact else turns[index]
            subject.rounds.append(_turn(subject, timed, alone=len(subjects) == 1))
        between()
        share = _share(subjects, aim, earlier + clock.seconds_since(start))
        progress(share)


def turn_runs(subjects: Sequence[Subject], aim: Aim) -> list[int]:
    """How many timed runs a turn of each subject has, so that all reach the aim in the same number of rounds."""
    wanted = [_wanted_runs(subject, aim) for subject in subjects]
    fewest = min(wanted)
    longest = max(1, ceil(fewest / (FEWEST_ROUNDS - 1)) - 1)  # the longest turn that leaves so many rounds
    turn = _odd(max(TURN_RUNS, ceil(fewest / MOST_ROUNDS)), longest)
    rounds = ceil(fewest / turn)
    return [_odd(ceil(runs / rounds), runs) for runs in wanted]


def _odd(runs: int, most: int) -> int:
    """An odd number of runs near to `runs`, not above `most`."""
    even = min(runs, most) % 2 == 0
    return min(runs, most) + (0 if not even else 1 if runs < most else -1)


def _wanted_runs(subject: Subject, aim: Aim) -> int:
    if aim.exact:
        return aim.runs
    seconds = (subject.mean_ms + subject.interval_ms) / 1000
    return max(1, min(max(aim.runs, ceil(aim.seconds / seconds)), int(aim.longest_seconds / seconds)))


def _turn(subject: Subject, runs: int, *, alone: bool) -> list[float]:
    for _ in range(0 if alone else lead_in_runs(subject)):
        subject.query()
    return [subject.query() for _ in range(runs)]


def lead_in_runs(subject: Subject) -> int:
    """How many runs before the timed ones of a turn are not timed, where other subjects had their turns before."""
    return ceil(LEAD_IN_MS / (subject.median_ms + subject.interval_ms))


def _share(subjects: Sequence[Subject], aim: Aim, spent_seconds: float) -> float:
    """How far the rounds are, 0 to 1: as far as the subject that lacks most, or as the time that they may take."""
    share = min(_share_of(subject, aim) for subject in subjects)
    return min(1.0, max(share, spent_seconds / (aim.longest_seconds * len(subjects))))


def _share_of(subject: Subject, aim: Aim) -> float:
    by_runs = subject.runs / aim.runs
    return min(by_runs, subject.seconds / aim.seconds if aim.seconds else by_runs)
