"""Warming up: lazy allocations, caches and clock speeds settle before anything counts."""

from collections.abc import Sequence
from itertools import chain
from statistics import fmean, median

from capsedge.measure.bench import clock
from capsedge.measure.bench.limits import Settling
from capsedge.measure.bench.report import Warmup
from capsedge.measure.bench.subject import Subject

WINDOWS = 3
TOLERANCE = 0.05


def warm_up(subject: Subject, settling: Settling) -> Warmup:
    """Run at the subject's cadence until the medians of the last windows agree; leaves its latency behind.

    Raises:
        ModelError: The model fails.
    """
    start = clock.now_ns()
    windows: list[list[float]] = []
    medians: list[float] = []
    runs, spent = 0, 0.0
    while spent < settling.longest_seconds:
        samples, whole = _window(subject, settling, start)
        windows.append(samples)
        runs += len(samples)
        spent = clock.seconds_since(start)
        if whole:
            medians.append(median(samples))
        if spent >= settling.seconds and runs >= settling.runs and agree(medians):
            break
    subject.median_ms = median(windows[-1])
    subject.mean_ms = fmean(chain.from_iterable(windows[1:] or windows))
    return Warmup(runs=runs, seconds=spent, settled=agree(medians))


def agree(medians: Sequence[float]) -> bool:
    """Whether the last three windows differ by at most 5 %: the slowest from the fastest."""
    last = medians[-WINDOWS:]
    return len(last) == WINDOWS and max(last) <= (1 + TOLERANCE) * min(last)


def _window(subject: Subject, settling: Settling, start_ns: int) -> tuple[list[float], bool]:
    """Run for one window, and tell whether it is whole or the warm-up's time was over before."""
    began = clock.now_ns()
    samples: list[float] = []
    while len(samples) < settling.window_runs or clock.seconds_since(began) < settling.window_seconds:
        samples.append(subject.query())
        if clock.seconds_since(start_ns) >= settling.longest_seconds:
            return samples, False
    return samples, True
