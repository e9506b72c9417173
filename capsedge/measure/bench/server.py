"""The scenario `server`: Poisson arrivals at a rate, and the highest rate whose p99 holds a bound.

As in the server scenario of MLPerf Inference's LoadGen (loadgen/loadgen.cc, results.cc), the arrivals are a Poisson
process, latencies count from the scheduled arrival, and a rate passes if the early-stopping rule (`stats.holds`)
shows that p99 is within the bound. Here the queue must not grow either (`Trial.overloaded`). The search
for the rate is our own: LoadGen tries the rate that its user gives.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import fmean

import numpy as np
from msgspec import structs

from capsedge.measure.bench.clock import no_garbage_collection
from capsedge.measure.bench.deployment import Served, Trial
from capsedge.measure.bench.load import closed_loop, open_loop
from capsedge.measure.bench.loop import FEWEST_ROUNDS, LEAD_IN_MS, Subject, lead_in_iterations
from capsedge.measure.bench.plan import FEWEST_ITERATIONS, MOST_ITERATIONS, Plan, TimingLimits
from capsedge.measure.bench.stats import arrivals_ms, holds, upper_bound

_SEED = 20260101

# The search ends when the rate is known to 2 %, after ten trials, or when a rate of 1/64 of the capacity failed.
_PRECISION = 0.02
_MOST_TRIALS = 10
_LOWEST = 1 / 64

# Share of the planned time by which a trial may last longer, to answer the queries that wait at its end.
_LONGER = 1.5
_CAPACITY_S = 0.5


class RateSearch:
    """The rate doubles until one fails; then bisection between the highest that held and the lowest that did not.

    Attributes:
        highest: The highest rate that held the bound; None if none did.
    """

    def __init__(self, capacity_qps: float, lowest_qps: float = 0.0, trials: int = _MOST_TRIALS) -> None:
        """Start at half the capacity, or at the lowest rate if that is higher.

        Args:
            capacity_qps: A guess of the capacity; one that is too low only costs trials.
            lowest_qps: The lowest rate that a trial can judge.
            trials: Largest number of trials.
        """
        self._lowest = max(lowest_qps, _LOWEST * capacity_qps)
        self._first = max(self._lowest, capacity_qps / 2)
        self._left = trials
        self._failed: float | None = None
        self.highest: float | None = None

    @property
    def rate(self) -> float | None:
        """The next rate to try; None at the end of the search."""
        if not self._left:
            return None
        if self._failed is None:
            return self._first if self.highest is None else 2 * self.highest
        known = self._failed - (self.highest or self._lowest) <= _PRECISION * self._failed
        return None if known else max(self._lowest, ((self.highest or 0.0) + self._failed) / 2)

    def record(self, *, held: bool) -> None:
        """Take the result of the trial at `rate`."""
        rate = self.rate
        if rate is None:
            raise RuntimeError("the search has ended")
        if held:
            self.highest = rate
        else:
            self._failed = rate
        self._left -= 1


@dataclass
class _Serving:
    """One session in the scenario: its search, its trials, and the latencies of the trial to report."""

    subject: Subject
    capacity_qps: float | None
    search: RateSearch | None
    trials: list[Trial] = field(default_factory=list)
    best: Trial | None = None

    def rate(self, plan: Plan) -> float | None:
        """The next rate to try, or None."""
        if self.search is not None:
            return self.search.rate
        return None if self.trials else plan.qps

    def keep(self, trial: Trial, latencies_ms: list[float]) -> None:
        """Record a trial; its latencies are reported if it is the highest rate that held, or nothing has held yet."""
        if self.search is not None:
            self.search.record(held=bool(trial.held))
        self.trials.append(trial)
        if trial.held or self.best is None or not self.best.held:
            self.best = trial
            self.subject.rounds = _parts(latencies_ms)

    def served(self) -> Served:
        """The results."""
        if self.best is None:
            raise RuntimeError("no rate was tried")
        return Served(
            qps=self.best.qps,
            highest_qps=self.best.qps if self.best.held else None,
            capacity_qps=self.capacity_qps,
            trials=tuple(self.trials),
        )


def serve(
    subjects: Sequence[Subject],
    plan: Plan,
    limits: TimingLimits,
    *,
    progress: Callable[[float], None] = lambda _: None,
    between: Callable[[], None] = lambda: None,
) -> list[Served]:
    """Fill `Subject.rounds` with the latencies of the reported rate, as twenty parts of one continuous trial.

    The sessions take turns with their trials, in shuffled order. A trial starts with an empty queue and is not
    interrupted: in slices, no queue could grow. Untimed queries of each thread come first.

    Args:
        subjects: Sessions that are warmed up.
        plan: The plan, with a rate, a bound, or both.
        limits: Time and queries of a trial.
        progress: Called after each trial with the completed share, 0 to 1.
        between: Called after each trial.

    Raises:
        ModelError: A model fails.
    """
    with no_garbage_collection():
        serving = [_started(subject, plan, limits) for subject in subjects]
    order, shuffle = list(serving), random.Random(_SEED).shuffle
    turns = 0
    while any(each.rate(plan) is not None for each in serving):
        shuffle(order)
        for each, rate in _next(order, plan):
            with no_garbage_collection():
                # Another seed in each trial, so that no chance of the gaps repeats; the same ones in every run.
                each.keep(*_trial(each.subject, rate, plan, limits, seed=_SEED + len(each.trials)))
            between()
        turns += 1
        progress(min(1.0, turns / (1 if plan.qps else _MOST_TRIALS)))
    progress(1.0)
    return [each.served() for each in serving]


def _started(subject: Subject, plan: Plan, limits: TimingLimits) -> _Serving:
    """Measure the capacity, with all threads busy, if a rate is sought: the search starts near it."""
    if plan.qps is not None:
        return _Serving(subject, None, None)
    latencies_ms = closed_loop(
        subject.session.run_raw,
        subject.feeds,
        clients=subject.clients,
        seconds=max(_CAPACITY_S, 3 * subject.clients * subject.mean_ms / 1000),
        lead_in_s=LEAD_IN_MS / 1000,
    )
    capacity_qps = 1000 * subject.clients / fmean(latencies_ms)
    # Where a query takes longer than the bound without any queue, one trial shows that no rate holds it.
    hopeless = plan.p99_ms is not None and subject.median_ms > plan.p99_ms
    search = RateSearch(capacity_qps, limits.lowest_qps, 1 if hopeless else _MOST_TRIALS)
    return _Serving(subject, capacity_qps, search)


def _next(order: Sequence[_Serving], plan: Plan) -> Iterator[tuple[_Serving, float]]:
    for each in order:
        rate = each.rate(plan)
        if rate is not None:
            yield each, rate


def _trial(subject: Subject, qps: float, plan: Plan, limits: TimingLimits, seed: int) -> tuple[Trial, list[float]]:
    """Serve one rate for the planned time, and for the least number of queries."""
    count = max(limits.iterations, 1 if limits.exact else ceil(qps * limits.seconds))
    if not limits.exact:
        count = max(1, min(count, round(qps * limits.longest_seconds), MOST_ITERATIONS))
    arrivals = arrivals_ms(qps, count, seed)
    found = open_loop(
        subject.session.run_raw,
        subject.feeds,
        arrivals,
        threads=subject.clients,
        longest_s=_LONGER * float(arrivals[-1]) / 1000 + 1.0,
        lead_in=lead_in_iterations(subject),
    )
    latencies_ms = found.latencies_ms
    enough = len(latencies_ms) >= FEWEST_ITERATIONS[99]
    trial = Trial(
        qps=qps,
        queries=len(latencies_ms),
        unanswered=found.unanswered,
        answered_qps=len(latencies_ms) / found.seconds,
        p99_ms=float(np.percentile(latencies_ms, 99)) if enough else None,
        bound_ms=upper_bound(sorted(latencies_ms), 99),
        held=None,
    )
    if plan.p99_ms is not None:  # a queue that grows exceeds any bound later
        held = not trial.overloaded(min(latencies_ms)) and holds(latencies_ms, 99, plan.p99_ms)
        trial = structs.replace(trial, held=held)
    return trial, latencies_ms


def _parts(latencies_ms: Sequence[float]) -> list[list[float]]:
    """Consecutive parts of a trial, of about the same size, which are resampled as the rounds of a report are."""
    parts = np.array_split(np.asarray(latencies_ms), min(FEWEST_ROUNDS, len(latencies_ms)))
    return [part.tolist() for part in parts]
