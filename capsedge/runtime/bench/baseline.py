"""Is it slower than before? A report held against an earlier one of the same machine, case by case."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from capsedge.errors import WrongUse
from capsedge.runtime.bench.judged import JUDGED_BY
from capsedge.runtime.bench.ratio import FEWEST_ROUNDS
from capsedge.runtime.bench.report import BenchReport, Case, Group
from capsedge.runtime.machine import Machine

RESAMPLES = 1000
_SEED = 20260101


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """How one figure of one case compares with the baseline.

    Attributes:
        label: What to call it, such as `runs/a p90`; with its batch where the report has several.
        case: The label of this report's case.
        batch: Images in a query.
        merit: What is compared: `p90` or `p99` of a query as the scenario asks, `mean` of `offline`, which is its
            images/s turned over, and `p50` of all.
        baseline_ms: That figure in the baseline.
        now_ms: That figure now.
        ratio: Now over then: 1.1 is 10 % slower.
        low: Lower end of its 95 % interval, by a bootstrap over the rounds of both; None with too few rounds.
        high: Its upper end.
        regressed: Whether the ratio is beyond the limit and the interval lies above 1.
    """

    label: str
    case: str
    batch: int
    merit: str
    baseline_ms: float
    now_ms: float
    ratio: float
    low: float | None
    high: float | None
    regressed: bool


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A report against a baseline.

    Attributes:
        baseline: When the baseline was measured.
        max_regression: The limit: 0.05 admits 5 % more time.
        rows: The cases that are in both, in this report's order, with two figures each.
        only_here: Labels of cases that the baseline does not have.
        only_in_baseline: Labels of cases that this report does not have.
        remarks: What else to know before believing the rows, a sentence each.
    """

    baseline: str
    max_regression: float
    rows: tuple[Change, ...]
    only_here: tuple[str, ...]
    only_in_baseline: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def regressed(self) -> str:
        """The cases that are slower than admitted, with their figures and ratios; "" where none is."""
        return ", ".join(f"{row.label} ({row.ratio:.2f} x)" for row in self.rows if row.regressed)


class _Found(NamedTuple):
    """A case, its group, and what to call it in a report of several groups."""

    group: Group
    case: Case
    label: str


class _Key(NamedTuple):
    """What makes a case of one report the same as a case of another."""

    scenario: str
    batch: int
    interval_ms: float
    model: str
    precision: str | None
    provider: str
    threads: int
    label: str = ""


def parse_regression(text: str) -> float:
    """Read a limit in percent: `5%` and `5` are 0.05.

    Raises:
        WrongUse: It is no percentage, or a share such as `0.05` that might mean 5 % or 0.05 %.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%?)\s*", text, re.ASCII)
    if found is None:
        raise WrongUse(f"a regression is a percentage of 0 or more such as 5%, '{text}' was given")
    number, sign = float(found[1]), found[2]
    if 0 < number < 1 and not sign:
        raise WrongUse(f"a regression of '{text}' may be {text}% or {100 * number:g}%: write the percent sign")
    return number / 100


def compare(
    report: BenchReport, baseline: BenchReport, max_regression: float, *, other_machine: bool = False
) -> Comparison:
    """Hold a report against an earlier one.

    Cases belong together where scenario, batch, interval, model, precision, provider and threads are the same; where
    a report has two such cases (a model that was named twice), their labels must be the same too. The interval holds
    what the rounds of the two processes scattered, not how two processes differ: see docs/bench.md before setting a
    limit below 5 %.

    Each case is compared by the figure that its scenario is judged by, and by its median too: a p90 that lies on the
    edge between two modes of a machine is so unsure that it would let a case pass that got slower in every run.

    Args:
        report: The new one.
        baseline: The earlier one.
        max_regression: The limit: 0.05 admits 5 % more time.
        other_machine: Compare although the processor or the GPU is another one; it becomes a remark.

    Raises:
        WrongUse: The machine is another one, or no case is in both.
    """
    if not other_machine:
        check_machine(report.machine, baseline)
    moved = _another_machine(report.machine, baseline)
    ours, theirs = _by_key(report, baseline)
    changes = [_changes(found, theirs[key], max_regression) for key, found in ours.items() if key in theirs]
    if not changes:
        raise WrongUse(
            f"the baseline has none of the cases that were measured ({_named(ours.values())}), it has "
            f"{_named(theirs.values())}: take it with the same models, scenario, batch, provider and threads"
        )
    only_here = tuple(found.label for key, found in ours.items() if key not in theirs)
    only_there = tuple(found.label for key, found in theirs.items() if key not in ours)
    return Comparison(
        baseline=baseline.created,
        max_regression=max_regression,
        rows=tuple(row for rows, _ in changes for row in rows),
        only_here=only_here,
        only_in_baseline=only_there,
        remarks=(
            *([moved] if moved else []),
            *(remark for _, its_remarks in changes for remark in its_remarks),
            *(f"{label} is not in the baseline" for label in only_here),
            *(f"{label} is in the baseline only" for label in only_there),
            *_differences(report, baseline),
            *dict.fromkeys(
                f"of the baseline: {doubt}"
                for key, found in theirs.items()
                if key in ours
                for doubt in found.group.doubts
            ),
        ),
    )


def check_machine(machine: Machine, baseline: BenchReport) -> None:
    """Refuse a baseline of another machine; to be asked before ten minutes of measuring.

    Raises:
        WrongUse: The processor is another one, or the GPU where the baseline has a case that ran on one.
    """
    if moved := _another_machine(machine, baseline):
        raise WrongUse(
            f"{moved}: times of two machines tell nothing of a regression; take the baseline on this machine, best "
            "in the same job"
        )


def _changes(now: _Found, then: _Found, limit: float) -> tuple[list[Change], list[str]]:
    """Compare one case, and say what weakens that."""
    merits, remarks = _merits(now, then)
    rows = [_change(now, then, merit, limit) for merit in merits]
    unsure = [row for row in rows if row.low is None and row.ratio > 1 + limit]
    remarks += [
        f"{row.label}: {row.ratio:.2f} x the baseline is beyond the limit, but with fewer than {FEWEST_ROUNDS} "
        "rounds on a side nobody knows whether that is noise: measure longer"
        for row in unsure
    ]
    return rows, [*remarks, *_settings_differences(now, then)]


def _merits(now: _Found, then: _Found) -> tuple[list[int | None], list[str]]:
    """The percentiles that a case is compared by, None for the mean; a remark where the scenario's is not there."""
    percent = JUDGED_BY[now.group.scenario]
    supported = [{each.percent for each in found.case.percentiles} for found in (now, then)]
    if percent is None or all(percent in percentiles for percentiles in supported):
        return [percent, 50], []
    return [50], [f"{now.label}: compared by its median alone, because one side has too few runs for p{percent}"]


def _change(now: _Found, then: _Found, percent: int | None, limit: float) -> Change:
    now_rounds, then_rounds = _rounds(now.case), _rounds(then.case)
    now_ms, then_ms = _figure(now_rounds, percent), _figure(then_rounds, percent)
    ratio = now_ms / then_ms
    low, high = _interval(now_rounds, then_rounds, percent)
    merit = "mean" if percent is None else f"p{percent}"
    return Change(
        label=f"{now.label} {merit}",
        case=now.case.label,
        batch=now.group.batch,
        merit=merit,
        baseline_ms=then_ms,
        now_ms=now_ms,
        ratio=ratio,
        low=low,
        high=high,
        regressed=low is not None and ratio > 1 + limit and low > 1,
    )


def _rounds(case: Case) -> list[NDArray[np.float64]]:
    return [np.asarray(turn) for turn in case.samples_ms if turn]


def _figure(rounds: Sequence[NDArray[np.float64]], percent: int | None) -> float:
    samples = np.concatenate(rounds)
    return float(samples.mean() if percent is None else np.percentile(samples, percent))


def _interval(
    now: Sequence[NDArray[np.float64]], then: Sequence[NDArray[np.float64]], percent: int | None
) -> tuple[float | None, float | None]:
    """The 95 % interval of the ratio: rounds of either side are drawn with replacement, each side by itself."""
    if min(len(now), len(then)) < FEWEST_ROUNDS:
        return None, None
    generator = np.random.default_rng(_SEED)
    ratios = _redrawn(now, percent, generator) / _redrawn(then, percent, generator)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def _redrawn(
    rounds: Sequence[NDArray[np.float64]], percent: int | None, generator: np.random.Generator
) -> NDArray[np.float64]:
    """The figure of each resample, [resamples]; a round is drawn whole, because its runs are alike."""
    drawn = generator.multinomial(len(rounds), np.full(len(rounds), 1 / len(rounds)), size=RESAMPLES)
    lengths = np.array([len(turn) for turn in rounds])
    if percent is None:
        sums = np.array([turn.sum() for turn in rounds])
        means: NDArray[np.float64] = (drawn @ sums) / (drawn @ lengths)
        return means
    samples = np.concatenate(rounds)
    order = np.argsort(samples)
    owner = np.repeat(np.arange(len(rounds)), lengths)[order]
    return np.array([_percentile_of_repeated(samples[order], times[owner], percent) for times in drawn])


def _percentile_of_repeated(ordered: NDArray[np.float64], times: NDArray[np.int64], percent: int) -> float:
    """`np.percentile` of ordered samples that are there so many times each, without repeating them."""
    ends = np.cumsum(times)
    place = (ends[-1] - 1) * percent / 100
    below = math.floor(place)
    low, high = ordered[np.searchsorted(ends, [below, min(below + 1, ends[-1] - 1)], side="right")]
    return float(low + (place - below) * (high - low))


def _by_key(report: BenchReport, baseline: BenchReport) -> tuple[dict[_Key, _Found], dict[_Key, _Found]]:
    both = [list(_cases(report)), list(_cases(baseline))]
    twice = {key for found in both for key, count in Counter(map(_key, found)).items() if count > 1}
    ours, theirs = ({_labelled(each, twice): each for each in found} for found in both)
    return ours, theirs


def _cases(report: BenchReport) -> Iterator[_Found]:
    for group in report.groups:
        told = f", batch {group.batch}" if len(report.groups) > 1 else ""
        yield from (_Found(group, case, case.label + told) for case in group.cases if any(case.samples_ms))


def _key(found: _Found) -> _Key:
    group, case = found.group, found.case
    return _Key(
        group.scenario,
        group.batch,
        group.interval_ms,
        case.model,
        case.precision,
        case.provider,
        case.settings.threads,
    )


def _labelled(found: _Found, twice: set[_Key]) -> _Key:
    key = _key(found)
    return key._replace(label=found.case.label) if key in twice else key


def _named(found: Iterable[_Found]) -> str:
    return ", ".join(f"'{each.label}'" for each in found) or "none"


def _another_machine(now: Machine, baseline: BenchReport) -> str:
    """In what the machine is another one, or ""; the GPU counts where a case ran off the CPU."""
    then = baseline.machine
    if now.cpu != then.cpu:
        return f"the baseline was taken on the processor '{then.cpu}', this is '{now.cpu}'"
    names = ["none" if machine.gpu is None else machine.gpu.name for machine in (then, now)]
    off_cpu = any(case.provider != "CPUExecutionProvider" for group in baseline.groups for case in group.cases)
    if off_cpu and names[0] != names[1]:
        return f"the baseline was taken on the GPU '{names[0]}', this is '{names[1]}'"
    return ""


def _differences(report: BenchReport, baseline: BenchReport) -> Iterator[str]:
    """What else is another: versions, cores, the governor, how long was measured."""
    then, now = (_circumstances(each) for each in (baseline, report))
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            yield f"{name} was {then.get(name, 'not there')}, is {now.get(name, 'not there')}"


def _circumstances(report: BenchReport) -> dict[str, str]:
    machine, gpu = report.machine, report.machine.gpu
    return {
        "the number of cores": str(machine.cores),
        "the system": machine.system,
        "the board's software": machine.board or "none",
        "the GPU's driver": "none" if gpu is None else gpu.driver,
        "the governor": report.groups[0].before.governor if report.groups else "unavailable",
        "--quick": "given" if report.plan.quick else "not given",
        "capsedge": report.capsedge,
        "Python": machine.python,
        **machine.onnxruntime,
        **machine.versions,
    }


def _settings_differences(now: _Found, then: _Found) -> Iterator[str]:
    for name in ("spinning", "graph", "io_binding", "allow_fallback"):
        was, is_ = (getattr(found.case.settings, name) for found in (then, now))
        if was != is_:
            yield f"{now.label}: {name} was {was}, is {is_}"
    if now.case.fell_back != then.case.fell_back:
        was, is_ = (", ".join(found.case.fell_back) or "nothing" for found in (then, now))
        yield f"{now.label}: on the CPU fell {was} then, {is_} now"
