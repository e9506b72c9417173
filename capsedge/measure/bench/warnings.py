"""Warnings about a measurement: reasons to trust its results less, each with a code and a text."""

import time
from collections.abc import Iterable, Iterator, Sequence
from math import exp

from capsedge.measure.bench.deployment import Served
from capsedge.measure.bench.plan import FEWEST_ITERATIONS, Limits, Plan, Scenario
from capsedge.measure.bench.report import BenchWarning, Case, WarningCode
from capsedge.measure.bench.stats import ROUNDS_FOR_INTERVAL
from capsedge.measure.machine import Conditions, Reading
from capsedge.plural import amount, number_of, plural

# Load average of other programs, per core, above which the machine counts as busy.
BUSY = 0.25
# Relative drop of a clock above which the later rounds are slower.
CLOCK_DROP = 0.10

UNFINISHED = BenchWarning(
    code="unfinished",
    text="the measurement was interrupted: the same command with the same --output continues it",
)

# Percentiles whose absence gives a warning. p99.9 needs 6,636 iterations; it is reported when they were made, and its
# absence gives no warning.
_EXPECTED: dict[Scenario, tuple[float, ...]] = {
    "single-stream": (50, 90, 95, 99),
    "multi-stream": (50, 90, 95, 99),
    "offline": (50, 90),
    "server": (50, 90, 95, 99),
}

_MINUTE = 60.0
_STARTED, _USED = time.monotonic(), time.process_time()


def about_load(load_average: Reading, cores: int) -> Iterator[BenchWarning]:
    """Warn if other programs kept the machine busy; read `load_average` just before this call."""
    others = load_of_others(load_average)
    if others != "unavailable" and others > BUSY * cores:
        yield BenchWarning(
            code="busy",
            text=f"the machine was busy: other programs had a load average of {others:.2f} on "
            f"{number_of(cores, 'core')} before the measurement; stop them and measure again",
        )


def load_of_others(average: Reading) -> Reading:
    """Subtract this process's own share from a load average that was just read.

    The load average approaches the number of running threads with a time constant of one minute. The share of this
    process is its mean number of running threads since this module was imported: processor time over elapsed time.

    Args:
        average: The load average of the last minute.
    """
    if average == "unavailable":
        return average
    seconds = max(time.monotonic() - _STARTED, 1e-3)
    return max(0.0, average - own_load((time.process_time() - _USED) / seconds, seconds))


def own_load(running: float, seconds: float) -> float:
    """Load average of one minute after `seconds` with `running` threads, starting from 0."""
    return running * (1 - exp(-seconds / _MINUTE))


def about_machine(before: Conditions, after: Conditions, during: Iterable[str]) -> Iterator[BenchWarning]:
    """Warn if the GPU throttled or a clock dropped.

    Args:
        before: State of the machine before the rounds and after the warm-up, because an idle clock is low.
        after: State of the machine after the rounds.
        during: Reasons of throttling reported between the rounds.
    """
    reasons = dict.fromkeys([*throttling(before), *during, *throttling(after)])
    if reasons:
        yield BenchWarning(
            code="gpu-throttled",
            text=f"the GPU throttled during the measurement ({', '.join(reasons)}): improve its cooling or its power "
            "supply",
        )
    for what, start, end in (
        ("processor", before.cpu_mhz, after.cpu_mhz),
        ("GPU", before.gpu_mhz, after.gpu_mhz),
        ("GPU's memory", before.gpu_memory_mhz, after.gpu_memory_mhz),
    ):
        if start != "unavailable" and end != "unavailable" and end < (1 - CLOCK_DROP) * start:
            yield BenchWarning(
                code="clock-dropped",
                text=f"the clock of the {what} fell from {start:.0f} to {end:.0f} MHz during the measurement",
            )


def throttling(state: Conditions) -> tuple[str, ...]:
    """Reasons of GPU throttling in one state of the machine; empty if unknown."""
    return () if state.gpu_throttling == "unavailable" else state.gpu_throttling


def about_plan(plan: Plan) -> Iterator[BenchWarning]:
    """Warn if the measurement is quick."""
    if plan.quick:
        yield BenchWarning(
            code="quick",
            text="this is a quick measurement with a short warm-up and few iterations: leave out --quick for "
            "reliable results",
        )


def about_case(case: Case, plan: Plan, limits: Limits, cores: int) -> Iterator[BenchWarning]:
    """Warn about the results of one session."""
    for code, text in _about_case(case, plan, limits, cores):
        yield BenchWarning(code=code, text=text, case=case.label)


def _about_case(case: Case, plan: Plan, limits: Limits, cores: int) -> Iterator[tuple[WarningCode, str]]:
    threads = plan.concurrency * max(case.settings.threads, 1)  # automatic: one at least
    if threads > cores:
        most = max(cores // plan.concurrency, 1)
        lower = f"use --threads {most} or fewer" if plan.concurrency <= cores else "lower --concurrency"
        yield (
            "oversubscribed",
            f"{threads} threads{_of_clients(plan)} share {number_of(cores, 'core')} and wait for each other: {lower}",
        )
    if case.fell_back:
        yield "fell-back", f"{', '.join(case.fell_back)} ran on the CPU instead of {case.settings.provider}"
    if not case.warmup.settled:
        yield (
            "not-settled",
            f"the latency still changed by more than 5 % after {number_of(case.warmup.iterations, 'iteration')} in "
            f"{case.warmup.seconds:.1f} s of warm-up",
        )
    if case.served is not None:
        yield from _about_load(case, case.served, plan, limits)
    lacking = {
        percent: fewest
        for percent, fewest in FEWEST_ITERATIONS.items()
        if percent in _EXPECTED[plan.scenario] and case.iterations < fewest
    }
    if lacking:
        needs = ", ".join(f"p{percent:g} needs {fewest} iterations" for percent, fewest in lacking.items())
        made = f"{case.iterations} {plural(case.iterations, 'was', 'were')} made"
        yield "few-iterations", f"percentiles are missing: {needs}, {made}{_why(plan, limits)}"


def _of_clients(plan: Plan) -> str:
    return f" (--concurrency {plan.concurrency} times --threads)" if plan.concurrency > 1 else ""


def _about_load(case: Case, served: Served, plan: Plan, limits: Limits) -> Iterator[tuple[WarningCode, str]]:
    """Warn about a rate that was too high, and a bound that no rate held."""
    trial = served.trial
    if plan.qps is not None and trial.overloaded(case.min_ms):
        left = f", and {trial.unanswered:,} waited at its end" if trial.unanswered else ""
        yield (
            "overloaded",
            f"of {amount(trial.qps)} queries in a second, {trial.answered_qps:,.1f} were answered{left}: the queue "
            "grew for as long as the trial lasted, and so did the latencies; lower --qps",
        )
    if plan.p99_ms is not None and not trial.held:
        fewest = FEWEST_ITERATIONS[99]
        few = f" (a trial needs {fewest} answers, it had {trial.queries})" if trial.queries < fewest else ""
        count = len(served.trials)
        several = (
            f"none of {count} rates holds"
            if count > 1
            else f"the only rate tried, {amount(trial.qps, 3)}/s, does not hold"
        )
        tried = "the rate does not hold" if plan.qps else several
        lowest = min(each.qps for each in served.trials) <= limits.timing.lowest_qps and case.min_ms <= plan.p99_ms
        lower = "" if plan.qps or not lowest else "; to try lower rates, use a longer --duration"
        yield "no-rate", f"{tried} a p99 of {amount(plan.p99_ms)} ms with 99 % confidence{few}{lower}"


def _why(plan: Plan, limits: Limits) -> str:
    if plan.iterations is not None:
        return " as requested"
    return "" if plan.quick else f" within the limit of {amount(limits.timing.longest_seconds)} s"


def about_processes(processes: int) -> Iterator[BenchWarning]:
    """Warn if a group was interrupted and continued."""
    if processes > 1:
        yield BenchWarning(
            code="resumed",
            text=f"{processes} processes measured this one after the other; processes differ by more than the "
            "intervals cover",
        )


def about_rounds(cases: Sequence[Case], rounds: int) -> Iterator[BenchWarning]:
    """Warn if the ratios have no interval."""
    if len(cases) > 1 and cases[0].served is None and rounds < ROUNDS_FOR_INTERVAL:
        made = f"{rounds} {plural(rounds, 'was', 'were')} made"
        yield BenchWarning(
            code="few-rounds",
            text=f"the ratios have no interval: an interval needs {ROUNDS_FOR_INTERVAL} rounds, {made}",
        )
