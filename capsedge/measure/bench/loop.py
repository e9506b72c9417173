"""The measurement loop: each session warms up, then all sessions take turns in rounds of shuffled order.

The turns are interleaved so that noise of the machine affects all sessions equally.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import ceil
from statistics import fmean, median

from capsedge.measure.bench import clock
from capsedge.measure.bench.load import closed_loop
from capsedge.measure.bench.plan import TimingLimits, WarmupLimits
from capsedge.measure.bench.report import Warmup
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.session import Session

# A session has settled when the medians of its last _WINDOWS windows differ by at most _TOLERANCE.
_WINDOWS = 3
_TOLERANCE = 0.05

# A turn starts with a lead-in: at least one untimed iteration, about this long in total. It refills the caches after
# the turns of the other models: a model of 0.15 ms was 40 % slower just after a turn of a model of 2 ms, and as fast
# as alone 2 ms later. The number of iterations is fixed beforehand. When the clock ended the lead-in instead, that
# mostly happened in an iteration that another program had delayed: on a busy machine the first timed iteration was
# then 50 % slower than the later ones.
LEAD_IN_MS = 5.0

# A turn has 7 iterations: more if there would be more than 100 rounds, because each turn costs a lead-in; fewer if
# there would be fewer than 20 rounds, because the bootstrap over the rounds needs them. The number is always odd: the
# median of a small even number of iterations is the mean of the middle two and biased towards the tail. A session
# compared with itself, with turns of 2 and of 100 iterations and a heavy tail, was 2 % slower than itself.
_TURN_ITERATIONS = 7
MOST_ROUNDS = 100
FEWEST_ROUNDS = 20

_SEED = 20260101


@dataclass
class Subject:
    """One session under measurement: its inputs, the interval of its queries, and its samples so far.

    Attributes:
        label: Name in the report.
        session: The session.
        feeds: Input arrays of each query.
        batch: Images in a query.
        interval_ms: Idle time before each query.
        median_ms: Median latency at the end of the warm-up; it sets the length of the lead-in.
        mean_ms: Mean latency in the warm-up; it sets the number and length of the rounds. The mean, because a busy
            machine spends most of the time in few slow iterations.
        rounds: Latencies of the timed iterations of each round, in milliseconds.
        sha256: SHA-256 of the session's file before the measurement.
        clients: Threads that send its queries at the same time.
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
    clients: int = 1

    @property
    def samples_ms(self) -> list[float]:
        """All timed iterations, in order."""
        return [sample for one in self.rounds for sample in one]

    @property
    def iterations(self) -> int:
        """Number of timed iterations."""
        return sum(map(len, self.rounds))

    @property
    def seconds(self) -> float:
        """Duration of the timed iterations, idle time included."""
        return (sum(map(sum, self.rounds)) / self.clients + self.iterations * self.interval_ms) / 1000

    def idle(self) -> None:
        """Wait for the idle time before a query."""
        if self.interval_ms:
            clock.sleep(self.interval_ms / 1000)

    def query_at_once(self) -> float:
        """Send one query without idle time; returns its latency in milliseconds."""
        now, run, feeds = clock.now_ns, self.session.run_raw, self.feeds
        start = now()
        run(feeds)
        return (now() - start) / 1e6

    def query(self) -> float:
        """Wait for the idle time, then send one query; returns its latency in milliseconds, without the idle time."""
        self.idle()
        return self.query_at_once()


def warm_up(subject: Subject, limits: WarmupLimits) -> Warmup:
    """Send queries at the subject's interval until the medians of the last windows agree.

    Sets `Subject.median_ms` and `Subject.mean_ms`.

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
    """Whether the slowest of the last three windows is at most 5 % slower than the fastest."""
    last = medians[-_WINDOWS:]
    return len(last) == _WINDOWS and max(last) <= (1 + _TOLERANCE) * min(last)


def _window(subject: Subject, limits: WarmupLimits, start_ns: int) -> tuple[list[float], bool]:
    """Send the queries of one window; returns the samples, and whether the window ended before the time limit."""
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
    """Fill `Subject.rounds` until every subject has its time and iterations, or the time limit is reached.

    Args:
        subjects: Subjects that are warmed up. Rounds of an earlier process count.
        limits: Least and longest time, and iterations.
        progress: Called after each round with the completed share, 0 to 1.
        between: Called after each round, outside of the timed iterations.

    Raises:
        ModelError: A model fails.
    """
    turns = turn_iterations(subjects, limits)
    order = list(range(len(subjects)))
    shuffle = random.Random(_SEED).shuffle
    for _ in subjects[0].rounds:
        shuffle(order)
    earlier, start = sum(subject.seconds for subject in subjects), clock.now_ns()
    share = _progress(subjects, limits, earlier)
    while share < 1:
        shuffle(order)
        for index in order:
            subject = subjects[index]
            timed = min(turns[index], limits.iterations - subject.iterations) if limits.exact else turns[index]
            if subject.clients > 1:
                subject.rounds.append(_turn_of_clients(subject, limits))
            else:
                subject.rounds.append(_turn(subject, timed, alone=len(subjects) == 1))
        between()
        share = _progress(subjects, limits, earlier + clock.seconds_since(start))
        progress(share)


def turn_iterations(subjects: Sequence[Subject], limits: TimingLimits) -> list[int]:
    """Timed iterations in a turn of each subject, so that all reach their iterations in the same number of rounds."""
    wanted = [_wanted_iterations(subject, limits) for subject in subjects]
    fewest = min(wanted)
    longest = max(1, ceil(fewest / (FEWEST_ROUNDS - 1)) - 1)  # of a turn, with at least FEWEST_ROUNDS rounds
    turn = _odd(max(_TURN_ITERATIONS, ceil(fewest / MOST_ROUNDS)), longest)
    rounds = ceil(fewest / turn)
    return [_odd(ceil(iterations / rounds), iterations) for iterations in wanted]


def _odd(count: int, most: int) -> int:
    """An odd number next to `count`, at most `most`."""
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


def _turn_of_clients(subject: Subject, limits: TimingLimits) -> list[float]:
    """A turn of several clients lasts for a time, as they share no iterations: so long that each has some queries.

    With a slow model, it ends earlier, so that the rounds keep their longest time; each client has a query.
    """
    longest_s = subject.clients * subject.mean_ms / 1000  # of a query, if the session runs one after the other
    most_s = limits.longest_seconds / FEWEST_ROUNDS
    return closed_loop(
        subject.session.run_raw,
        subject.feeds,
        clients=subject.clients,
        seconds=min(max(limits.seconds / FEWEST_ROUNDS, 3 * longest_s), 0.6 * most_s),
        lead_in_s=min(max(LEAD_IN_MS / 1000, 2 * longest_s), 0.4 * most_s),
    )


def lead_in_iterations(subject: Subject) -> int:
    """Untimed iterations at the start of a turn, if there are other subjects."""
    return ceil(LEAD_IN_MS / (subject.median_ms + subject.interval_ms))


def _progress(subjects: Sequence[Subject], limits: TimingLimits, spent_seconds: float) -> float:
    """Progress of the rounds, 0 to 1: of the subject furthest behind, or the used part of the time if larger."""
    share = min(_progress_of(subject, limits) for subject in subjects)
    return min(1.0, max(share, spent_seconds / (limits.longest_seconds * len(subjects))))


def _progress_of(subject: Subject, limits: TimingLimits) -> float:
    by_iterations = subject.iterations / limits.iterations
    by_rounds = len(subject.rounds) / FEWEST_ROUNDS if subject.clients > 1 else by_iterations
    return min(by_iterations, by_rounds, subject.seconds / limits.seconds if limits.seconds else by_iterations)
