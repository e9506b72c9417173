"""Latency of several models, measured side by side in one run."""

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import fmean, median
from time import perf_counter, perf_counter_ns

import msgspec

from capsedge.errors import WrongUse
from capsedge.runtime.feeds import Arrays
from capsedge.runtime.machine import Machine, this_machine
from capsedge.runtime.percentiles import median_interval, percentile
from capsedge.runtime.session import Session

# Warm-up of each model: at least this many runs, and at least this long, for lazy allocations and clock speeds.
WARM_UP_RUNS = 5
WARM_UP_SECONDS = 0.3

# A model's turn in a round: runs that are not timed, one at least and for this long, then the timed ones. Without
# the first a model would pay for the caches that the others' turns emptied: a model of 0.15 ms was 40 % slower just
# after a turn of one of 2 ms, and as fast as alone after 2 ms.
LEAD_IN_SECONDS = 0.005
TURN_RUNS = 8

_FEWEST_ROUNDS = 3
_SEED = 20260101


class ModelLatency(msgspec.Struct, frozen=True, kw_only=True):
    """How long one model takes for one batch, from host memory to host memory.

    Attributes:
        model: The model's name.
        provider: Where it ran.
        runs: Timed runs.
        mean_ms: Mean latency of a batch.
        p50_ms: Median, or None with too few runs (`percentiles.FEWEST_SAMPLES`); the same holds for the others.
        p90_ms: 90th percentile.
        p99_ms: 99th percentile.
        images_per_second: Throughput of these runs, one after the other.
        times_first: Latency over that of the first model, the median over the rounds: 0.5 is twice as fast.
        times_first_interval: 95 % confidence interval of `times_first` over the rounds of this process, or None with
            too few rounds. Another process may fall into another mode of the thread pool: run the command again
            before believing a small difference.
        samples_ms: Every timed run in order, if they were asked for.
    """

    model: str
    provider: str
    runs: int
    mean_ms: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    images_per_second: float
    times_first: float
    times_first_interval: tuple[float, float] | None
    samples_ms: tuple[float, ...] | None = None


class LatencyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The latencies of the models of one run.

    Attributes:
        batch: Images in a batch.
        threads: Threads that were asked for; 0 is the runtime's choice.
        rounds: Rounds of turns.
        machine: The machine, and its load just before.
        models: One record for each model, in the order given.
    """

    batch: int
    threads: int
    rounds: int
    machine: Machine
    models: tuple[ModelLatency, ...]


@dataclass
class _Lane:
    """A model with its inputs and the timed runs of each of its turns, in nanoseconds."""

    session: Session
    feeds: Arrays
    turns: list[list[int]] = field(default_factory=list)

    @property
    def samples_ms(self) -> list[float]:
        return [sample / 1e6 for turn in self.turns for sample in turn]


def bench(
    sessions: Sequence[Session],
    *,
    batch: int = 1,
    seconds: float = 5.0,
    runs: int | None = None,
    threads: int = 0,
    keep_samples: bool = False,
    progress: Callable[[float], None] = lambda _: None,
) -> LatencyReport:
    """Time models in turns, in rounds of shuffled order, so that whatever the machine does meanwhile hits all alike.

    Only `Session.run_raw` is timed: no decoding, no Python around it. The figures are those of a model that runs
    again and again, with its weights in the caches; the first run after other work takes longer.

    Args:
        sessions: Opened models; the first is what the others are compared with.
        batch: Images in a batch.
        seconds: Time to spend on each model, warm-up not counted.
        runs: Timed runs of each model instead of `seconds`.
        threads: What the sessions were opened with, for the report.
        keep_samples: Keep every timed run in the report.
        progress: Called between rounds with the share done, 0 to 1.

    Raises:
        WrongUse: An argument is out of its range.
        ModelError: A model does not take the batch, or fails.
    """
    if not sessions or batch < 1 or seconds <= 0 or (runs is not None and runs < 1):
        raise WrongUse("bench wants one model or more, and batch, seconds and runs above 0")
    lanes = [_Lane(session, session.feeds(batch)) for session in sessions]
    machine = this_machine()
    for lane in lanes:
        _run_untimed(lane, WARM_UP_RUNS, WARM_UP_SECONDS)
    plan = _for_seconds(seconds * len(lanes)) if runs is None else _for_runs(runs)
    shuffle = random.Random(_SEED).shuffle
    order = list(lanes)
    with _no_garbage_collection():
        for timed_runs, share in plan:
            shuffle(order)
            for lane in order:
                lane.turns.append(_turn(lane, timed_runs, alone=len(lanes) == 1))
            progress(share)
    return LatencyReport(
        batch=batch,
        threads=threads,
        rounds=len(lanes[0].turns),
        machine=machine,
        models=tuple(_latency(lane, lanes[0], batch, keep_samples=keep_samples) for lane in lanes),
    )


def _run_untimed(lane: _Lane, fewest_runs: int, seconds: float) -> None:
    start = perf_counter()
    runs = 0
    while runs < fewest_runs or perf_counter() - start < seconds:
        lane.session.run_raw(lane.feeds)
        runs += 1


def _turn(lane: _Lane, runs: int, *, alone: bool) -> list[int]:
    """Run a model `runs` times and give the nanoseconds of each run."""
    run, feeds = lane.session.run_raw, lane.feeds
    samples = []
    if not alone:
        _run_untimed(lane, 1, LEAD_IN_SECONDS)
    for _ in range(runs):
        start = perf_counter_ns()
        run(feeds)
        samples.append(perf_counter_ns() - start)
    return samples


def _for_seconds(seconds: float) -> Iterator[tuple[int, float]]:
    """Plan rounds until the time is over: yields the timed runs of a turn, and the share done after the round."""
    start = perf_counter()
    rounds, spent = 0, 0.0
    while rounds < _FEWEST_ROUNDS or spent < seconds:
        yield TURN_RUNS, min(spent / seconds, 1.0)
        rounds += 1
        spent = perf_counter() - start


def _for_runs(runs: int) -> Iterator[tuple[int, float]]:
    """Plan rounds that add up to exactly `runs` timed runs of each model."""
    for done in range(0, runs, TURN_RUNS):
        turn = min(TURN_RUNS, runs - done)
        yield turn, (done + turn) / runs


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Keep Python from collecting garbage within a timed run."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _latency(lane: _Lane, first: _Lane, batch: int, *, keep_samples: bool) -> ModelLatency:
    samples = lane.samples_ms
    mean_ms = fmean(samples)
    ratios = [median(own) / median(its) for own, its in zip(lane.turns, first.turns, strict=True)]
    return ModelLatency(
        model=lane.session.name,
        provider=lane.session.provider,
        runs=len(samples),
        mean_ms=mean_ms,
        p50_ms=percentile(samples, 50),
        p90_ms=percentile(samples, 90),
        p99_ms=percentile(samples, 99),
        images_per_second=1000 * batch / mean_ms,
        times_first=median(ratios),
        times_first_interval=median_interval(ratios),
        samples_ms=tuple(samples) if keep_samples else None,
    )
