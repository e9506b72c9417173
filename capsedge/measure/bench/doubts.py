"""What makes the figures of a group weaker than they look, a sentence each."""

from collections.abc import Iterable, Iterator, Sequence

from capsedge.measure.bench.limits import Limits
from capsedge.measure.bench.load import load_of_others
from capsedge.measure.bench.percentiles import FEWEST_SAMPLES
from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.measure.bench.ratio import FEWEST_ROUNDS
from capsedge.measure.bench.report import Case
from capsedge.measure.bench.watch import throttling
from capsedge.measure.machine import Conditions, Reading
from capsedge.plural import number_of, plural

# A busy machine: other programs keep a quarter of the cores running.
BUSY = 0.25
# A clock that fell by more than this made the later rounds slower.
CLOCK_DROP = 0.10

UNFINISHED = "it was cut off before its end: the same command with the same --output goes on with it"

# Whose absence is worth a word. p99.9 is not among them: it takes 6,636 runs, and is given where they were made.
_EXPECTED: dict[Scenario, tuple[float, ...]] = {
    "single-stream": (50, 90, 95, 99),
    "multi-stream": (50, 90, 95, 99),
    "offline": (50, 90),
}


def about_load(load_average: Reading, cores: int) -> Iterator[str]:
    """Doubt a machine that was busy with other things; `load_average` is to be read just before this is asked."""
    others = load_of_others(load_average)
    if others != "unavailable" and others > BUSY * cores:
        yield (
            f"the machine was busy: other programs had a load average of {others:.2f} on {number_of(cores, 'core')} "
            "before the measurement; stop them and measure again"
        )


def about_machine(before: Conditions, after: Conditions, during: Iterable[str]) -> Iterator[str]:
    """Doubt a machine that slowed itself down.

    Args:
        before: Its state before the rounds, but after the warm-up: an idle clock is low.
        after: And after them.
        during: Reasons of throttling that were seen between the rounds.
    """
    reasons = dict.fromkeys([*throttling(before), *during, *throttling(after)])
    if reasons:
        yield f"the GPU slowed itself down during the measurement ({', '.join(reasons)}): cool it or feed it better"
    for what, start, end in (
        ("processor", before.cpu_mhz, after.cpu_mhz),
        ("GPU", before.gpu_mhz, after.gpu_mhz),
        ("GPU's memory", before.gpu_memory_mhz, after.gpu_memory_mhz),
    ):
        if start != "unavailable" and end != "unavailable" and end < (1 - CLOCK_DROP) * start:
            yield f"the clock of the {what} fell from {start:.0f} to {end:.0f} MHz during the measurement"


def about_plan(plan: Plan) -> Iterator[str]:
    """Doubt a quick look."""
    if plan.quick:
        yield "this was a quick look, with a short warm-up and few runs: believe `capsedge bench` without --quick"


def about_case(case: Case, plan: Plan, limits: Limits, cores: int) -> Iterator[str]:
    """Doubt one session's figures."""
    yield from _about_settings(case, cores)
    if not case.warmup.settled:
        yield (
            f"'{case.label}' never settled: after {number_of(case.warmup.runs, 'run')} in {case.warmup.seconds:.1f} "
            "s of warm-up its latency still moved by more than 5 %"
        )
    yield from _about_percentiles(case, plan, limits)


def about_processes(processes: int) -> Iterator[str]:
    """Doubt a group that was cut off and went on."""
    if processes > 1:
        yield (
            f"it was cut off and went on: {processes} processes measured it one after the other, and two processes "
            "differ by more than the intervals say"
        )


def about_rounds(cases: Sequence[Case], rounds: int) -> Iterator[str]:
    """Doubt ratios that have no interval."""
    if len(cases) > 1 and rounds < FEWEST_ROUNDS:
        made = f"{rounds} {plural(rounds, 'was', 'were')} made"
        yield f"the ratios have no interval: that takes {FEWEST_ROUNDS} rounds, {made}"


def _about_settings(case: Case, cores: int) -> Iterator[str]:
    if case.settings.threads > cores:
        yield (
            f"'{case.label}' was given {case.settings.threads} threads on {number_of(cores, 'core')}: they wait for "
            f"each other, so give it {cores} or fewer"
        )
    if case.fell_back:
        yield (
            f"'{case.label}' did not run on {case.settings.provider} alone: {', '.join(case.fell_back)} fell back to "
            "the CPU"
        )


def _about_percentiles(case: Case, plan: Plan, limits: Limits) -> Iterator[str]:
    lacking = {
        percent: fewest
        for percent, fewest in FEWEST_SAMPLES.items()
        if percent in _EXPECTED[plan.scenario] and case.runs < fewest
    }
    if lacking:
        needs = ", ".join(f"p{percent:g} needs {fewest} runs" for percent, fewest in lacking.items())
        made = f"{case.runs} {plural(case.runs, 'was', 'were')} made"
        yield f"'{case.label}' lacks percentiles: {needs}, {made}{_why(plan, limits)}"


def _why(plan: Plan, limits: Limits) -> str:
    if plan.runs is not None:
        return " as asked"
    return "" if plan.quick else f" in the {limits.aim.longest_seconds:g} s that it may take"
