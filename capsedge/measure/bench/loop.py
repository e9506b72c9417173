"""The loop that measures: each session warms up, then all take turns in rounds of shuffled order.

The rounds are interleaved, so that noise of the machine affects all sessions equally.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from statistics import fmean, median

from capsedge.measure.bench import clock
from capsedge.measure.bench.plan import TimingLimits, WarmupLimits
from capsedge.measure.bench.report import Warmup
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Session

# A session has settled when the medians of so many windows differ by at most 5 %.
_WINDOWS = 3
_TOLERANCE = 0.05

# A turn begins with iterations that are not timed, one at least and for about this long. Without them a model would
# pay for the caches that the others' turns emptied: a model of 0.15 ms was 40 % slower just after a turn of one of
# 2 ms, and as fast as alone after 2 ms. Their number is fixed beforehand. Where the clock ended them, it mostly did
# so within an iteration that another program held up, and on a busy machine the first timed one was 50 % slower than
# the later ones.
LEAD_IN_MS = 5.0

# Turns of 7 iterations, or longer where that would make more than 100 rounds: each begins with a lead-in that is
# lost. Shorter where it would make fewer than 20, which a bootstrap over the rounds needs. Always an odd number: the
# median of an even few lies between the middle two and leans to the tail. A session against itself, with turns of 2
# against 100 and a heavy tail, came out 2 % slower than itself.
_TURN_ITERATIONS = 7
MOST_ROUNDS = 100
FEWEST_ROUNDS = 20

_SEED = 20260101


@dataclass
class Subject:
    """One session under measurement: its inputs, the cadence of its queries, and what was timed so far.

    Attributes:
        label: What the report calls it.
        session: The session.
        feeds: What every query asks.
        batch: Images in a query.
        interval_ms: Idle time before each query.
        median_ms: Latency at the end of the warm-up, for which the lead-in of a turn is counted.
        mean_ms: Mean latency in the warm-up, by which the rounds are laid out: a busy machine spends most of its time
            in few iterations.
        rounds: The timed iterations of each round, in milliseconds.
        sha256: Of the session's file, as it was before the measurement.
    """

    label: str
    session: Session
    feeds: Arrays
    batch: int
    interval_ms: float = 0.0
    median_ms: float = 0.0
    mean_ms: float = 0.0
    rounds: list[list[float]] = field(default_factory=list)
    sha256: str | None = None

    @property
    def samples_ms(self) -> list[float]:
        """All timed iterations, in order."""
        return [sample for one in self.rounds for sample in one]

    @property
    def iterations(self) -> int:
        """How many there are."""
        return sum(map(len, self.rounds))

    @property
    def seconds(self) -> float:
        """How long they took, the idle time before them counted."""
        return (sum(map(sum, self.rounds)) + self.iterations * self.interval_ms) / 1000

    def idle(self) -> None:
        """Wait for the next query, as for a frame of a camera."""
        if self.interval_ms:
            clock.sleep(self.interval_ms / 1000)

    def query_at_once(self) -> float:
        """Send one query and give its latency in milliseconds."""
        now, run, feeds = clock.now_ns, self.session.run_raw, self.feeds
        start = now()
        run(feeds)
        return (now() - start) / 1e6

    def query(self) -> float:
        """Send one query at the cadence; the idle time before it is not in its latency."""
        self.idle()
        return self.query_at_once()


def warm_up(subject: Subject, limits: WarmupLimits) -> Warmup:
    """Send queries at the subject's cadence until the medians of the last windows agree; leaves its latency behind.

    Raises:
        ModelError: The model fails.
    """
    start = clock.now_ns()
    windows: list[list[float]] = []
    medians: list[float] = []
    iterations, spent = 0, 0.0
    while spent < limits.longest_seconds:
        samples, whole = _window(subject, limits, start)
        windows.append(samples)
        iterations += len(samples)
        spent = clock.seconds_since(start)
        if whole:
            medians.append(median(samples))
        if spent >= limits.seconds and iterations >= limits.iterations and agree(medians):
            break
    subject.median_ms = median(windows[-1])
    subject.mean_ms = fmean(chain.from_iterable(windows[1:] or windows))
    return Warmup(iterations=iterations, seconds=spent, settled=agree(medians))


def agree(medians: Sequence[float]) -> bool:
    """Whether the last three windows differ by at most 5 %: the slowest from the fastest."""
    last = medians[-_WINDOWS:]
    return len(last) == _WINDOWS and max(last) <= (1 + _TOLERANCE) * min(last)


def _window(subject: Subject, limits: WarmupLimits, start_ns: int) -> tuple[list[float], bool]:
    """Send queries for one window, and tell whether it is whole or the warm-up's time was over before."""
    began = clock.now_ns()
    samples: list[float] = []
    while len(samples) < limits.window_iterations or clock.seconds_since(began) < limits.window_seconds:
        samples.append(subject.query())
        if clock.seconds_since(start_ns) >= limits.longest_seconds:
            return samples, False
    return samples, True


def run_rounds(
    subjects: Sequence[Subject],
    limits: TimingLimits,
    *,
    progress: Callable[[float], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> None:
    """Fill `Subject.rounds` until every subject has its time and its iterations, or all of them their longest time.

    Args:
        subjects: Warmed up. Rounds that they already have, of an earlier process, count.
        limits: How long.
        progress: Called after each round with the share done, 0 to 1.
        between: Called after each round; what it does is not timed.

    Raises:
        ModelError: A model fails.
    """
    turns = turn_iterations(subjects, limits)
    order = list(range(len(subjects)))
    shuffle = random.Random(_SEED).shuffle
    for _ in subjects[0].rounds:
        shuffle(order)
    earlier, start = sum(subject.seconds for subject in subjects), clock.now_ns()
    share = _share(subjects, limits, earlier)
    while share < 1:
        shuffle(order)
        for index in order:
            subject = subjects[index]
            timed = min(turns[index], limits.iterations - subject.iterations) if limits.exact else turns[index]
            subject.rounds.append(_turn(subject, timed, alone=len(subjects) == 1))
        between()
        share = _share(subjects, limits, earlier + clock.seconds_since(start))
        progress(share)


def turn_iterations(subjects: Sequence[Subject], limits: TimingLimits) -> list[int]:
    """How many timed iterations a turn of each subject has, so that all have enough in the same number of rounds."""
    wanted = [_wanted_iterations(subject, limits) for subject in subjects]
    fewest = min(wanted)
    longest = max(1, ceil(fewest / (FEWEST_ROUNDS - 1)) - 1)  # the longest turn that leaves so many rounds
    turn = _odd(max(_TURN_ITERATIONS, ceil(fewest / MOST_ROUNDS)), longest)
    rounds = ceil(fewest / turn)
    return [_odd(ceil(iterations / rounds), iterations) for iterations in wanted]


def _odd(count: int, most: int) -> int:
    """An odd number near to `count`, not above `most`."""
    even = min(count, most) % 2 == 0
    return min(count, most) + (0 if not even else 1 if count < most else -1)


def _wanted_iterations(subject: Subject, limits: TimingLimits) -> int:
    if limits.exact:
        return limits.iterations
    seconds = (subject.mean_ms + subject.interval_ms) / 1000
    return max(1, min(max(limits.iterations, ceil(limits.seconds / seconds)), int(limits.longest_seconds / seconds)))


def _turn(subject: Subject, iterations: int, *, alone: bool) -> list[float]:
    for _ in range(0 if alone else lead_in_iterations(subject)):
        subject.query()
    return [subject.query() for _ in range(iterations)]


def lead_in_iterations(subject: Subject) -> int:
    """How many iterations at the start of a turn are not timed, where other subjects had their turns before."""
    return ceil(LEAD_IN_MS / (subject.median_ms + subject.interval_ms))


def _share(subjects: Sequence[Subject], limits: TimingLimits, spent_seconds: float) -> float:
    """How far the rounds are, 0 to 1: as far as the subject that lacks most, or as the time that they may take."""
    share = min(_share_of(subject, limits) for subject in subjects)
    return min(1.0, max(share, spent_seconds / (limits.longest_seconds * len(subjects))))


def _share_of(subject: Subject, limits: TimingLimits) -> float:
    by_iterations = subject.iterations / limits.iterations
    return min(by_iterations, subject.seconds / limits.seconds if limits.seconds else by_iterations)
