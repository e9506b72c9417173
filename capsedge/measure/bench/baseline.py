"""Is it slower than before? A report compared with an earlier one of the same machine, case by case."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from capsedge.errors import WrongUse
from capsedge.measure.bench.plan import METRIC, Plan
from capsedge.measure.bench.report import BenchReport, Case, Change, Comparison, ComparisonWarning, Group, WarningCode
from capsedge.measure.bench.stats import ROUNDS_FOR_INTERVAL, alike, figure, interval, rounds_of
from capsedge.measure.machine import Machine

_SETTINGS = ("spinning", "graph", "io_binding", "cuda_graph", "allow_fallback", "exact_int8")


class LabelledCase(NamedTuple):
    """A case, its group, and what to call it in a report of several groups."""

    group: Group
    case: Case
    label: str


class Key(NamedTuple):
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
        raise WrongUse(f"expected a percentage of 0 or more such as 5% as the regression, got '{text}'")
    number, sign = float(found[1]), found[2]
    if 0 < number < 1 and not sign:
        raise WrongUse(f"a regression of '{text}' may be {text}% or {100 * number:g}%: write the percent sign")
    return number / 100


def check_machine(machine: Machine, baseline: BenchReport) -> None:
    """Refuse a baseline of another machine; to be asked before ten minutes of measuring.

    Raises:
        WrongUse: The processor is another one or has other instruction sets, or the GPU is where the baseline has a
            case that ran on one.
    """
    if moved := _another_machine(machine, baseline):
        raise WrongUse(
            f"{moved}: latencies of two machines cannot show a regression; take the baseline on this machine, best "
            "in the same job, or add --other-machine"
        )


def check_cases(plan: Plan, batches: Sequence[int], models: Sequence[str], baseline: BenchReport) -> None:
    """Refuse a baseline that has nothing of what shall be measured, as far as that is known before a model opens.

    Args:
        plan: What shall be measured, apart from the batch.
        batches: Images in a query.
        models: As the sessions will be named.
        baseline: The earlier report.

    Raises:
        WrongUse: No case of the baseline has such a scenario, batch, interval and model.
    """
    theirs = list(_labelled_cases(baseline))
    keys = map(_key, theirs)
    if not any(
        (key.scenario, key.interval_ms) == (plan.scenario, plan.interval_ms)
        and key.batch in batches
        and key.model in models
        for key in keys
    ):
        raise _nothing_in_common(models, theirs)


def compare(
    report: BenchReport, baseline: BenchReport, max_regression: float, *, other_machine: bool = False
) -> Comparison:
    """Compare a report with an earlier one.

    Cases belong together where scenario, batch, interval, model, precision, provider and threads are the same; where
    a report has two such cases (a model that was named twice), their labels must be the same too. The interval holds
    what the rounds of the two processes scattered, not how two processes differ: see docs/bench.md before setting a
    limit below 5 %.

    Each case is compared by the metric of its scenario, and by its median too: a p90 that lies on the edge between
    two modes of a machine is so unsure that it would let a case pass that got slower in every iteration.

    Args:
        report: The new one.
        baseline: The earlier one.
        max_regression: The limit: 0.05 admits 5 % more time.
        other_machine: Compare although the processor or the GPU is another one; it becomes a warning.

    Raises:
        WrongUse: The machine is another one, or no case is in both.
    """
    if not other_machine:
        check_machine(report.machine, baseline)
    ours, theirs = _by_key(report, baseline)
    both = [(found, theirs[key]) for key, found in ours.items() if key in theirs]
    if not both:
        raise _nothing_in_common((each.label for each in ours.values()), theirs.values())
    changes = [_changes(now, then, max_regression) for now, then in both]
    only_here = [found for key, found in ours.items() if key not in theirs]
    only_there = [found for key, found in theirs.items() if key not in ours]
    return Comparison(
        baseline=baseline.created,
        max_regression=max_regression,
        rows=tuple(row for rows, _ in changes for row in rows),
        only_here=tuple(each.label for each in only_here),
        only_in_baseline=tuple(each.label for each in only_there),
        warnings=(
            *_about_machines(report, baseline),
            *(warning for _, found in changes for warning in found),
            *(_warning("not-in-baseline", "it is not in the baseline", each) for each in only_here),
            *(_warning("only-in-baseline", "it is in the baseline only", each) for each in only_there),
            *dict.fromkeys(
                ComparisonWarning(
                    code=warning.code,
                    text=warning.text,
                    case=warning.case,
                    batch=then.group.batch,
                    of_baseline=True,
                )
                for _, then in both
                for warning in then.group.warnings
            ),
        ),
    )


def _by_key(report: BenchReport, baseline: BenchReport) -> tuple[dict[Key, LabelledCase], dict[Key, LabelledCase]]:
    """The cases of both, in order; equal keys belong together."""
    both = [list(_labelled_cases(report)), list(_labelled_cases(baseline))]
    twice = {key for found in both for key, count in Counter(map(_key, found)).items() if count > 1}

    def told_apart(found: LabelledCase) -> Key:
        key = _key(found)
        return key._replace(label=found.case.label) if key in twice else key

    ours, theirs = ({told_apart(each): each for each in found} for found in both)
    return ours, theirs


def _labelled_cases(report: BenchReport) -> Iterator[LabelledCase]:
    for group in report.groups:
        told = f", batch {group.batch}" if len(report.groups) > 1 else ""
        yield from (LabelledCase(group, case, case.label + told) for case in group.cases)


def _key(found: LabelledCase) -> Key:
    group, case = found.group, found.case
    return Key(
        group.scenario,
        group.batch,
        group.interval_ms,
        case.model,
        case.precision,
        case.provider,
        case.settings.threads,
    )


def _nothing_in_common(ours: Iterable[str], theirs: Iterable[LabelledCase]) -> WrongUse:
    here, there = (
        ", ".join(f"'{label}'" for label in labels) or "none" for labels in (ours, (each.label for each in theirs))
    )
    return WrongUse(
        f"the baseline has none of the cases that are measured ({here}), it has {there}: take it with the same "
        "models, scenario, batch, interval, provider and threads"
    )


def _changes(now: LabelledCase, then: LabelledCase, limit: float) -> tuple[list[Change], list[ComparisonWarning]]:
    """Compare one case, and warn of what weakens that."""
    percent = METRIC[now.group.scenario]
    supported = all(percent in {each.percent for each in found.case.percentiles} for found in (now, then))
    by_metric = percent is None or supported
    rows = [_change(now, then, each, limit) for each in ([percent, 50] if by_metric else [50])]
    return rows, [
        *([] if by_metric else [_only_by_median(now, percent)]),
        *(_about_noise(now, row) for row in rows if row.unsure),
        *_about_drift(now, then),
        *_about_settings(now, then),
    ]


def _change(now: LabelledCase, then: LabelledCase, percent: int | None, limit: float) -> Change:
    now_rounds, then_rounds = rounds_of(now.case), rounds_of(then.case)
    now_ms, then_ms = figure(now_rounds, percent), figure(then_rounds, percent)
    ratio = now_ms / then_ms
    low, high = interval(now_rounds, then_rounds, percent)
    metric = "mean" if percent is None else f"p{percent}"
    return Change(
        label=f"{now.label} {metric}",
        case=now.case.label,
        batch=now.group.batch,
        metric=metric,
        baseline_ms=then_ms,
        now_ms=now_ms,
        ratio=ratio,
        low=low,
        high=high,
        regressed=low is not None and ratio > 1 + limit and low > 1,
        unsure=low is None and ratio > 1 + limit,
    )


def _warning(
    code: WarningCode, text: str, about: LabelledCase | None = None, metric: str | None = None
) -> ComparisonWarning:
    if about is None:
        return ComparisonWarning(code=code, text=text)
    return ComparisonWarning(code=code, text=text, case=about.case.label, batch=about.group.batch, metric=metric)


def _only_by_median(now: LabelledCase, percent: int | None) -> ComparisonWarning:
    text = "one side has too few iterations for it, so only the median is compared"
    return _warning("few-iterations", text, now, f"p{percent}")


def _about_noise(now: LabelledCase, row: Change) -> ComparisonWarning:
    text = (
        f"{row.ratio:.2f} x the baseline is beyond the limit, but fewer than {ROUNDS_FOR_INTERVAL} rounds on a side "
        "cannot tell that from noise: measure longer"
    )
    return _warning("few-rounds", text, now, row.metric)


def _about_drift(now: LabelledCase, then: LabelledCase) -> Iterator[ComparisonWarning]:
    sides = [name for name, found in (("now", now), ("in the baseline", then)) if alike(rounds_of(found.case))]
    if sides:
        text = (
            f"neighbouring rounds were alike {' and '.join(sides)}, because the machine drifted or changed its "
            "speed; the interval is wider for it, and a change that lasted through a whole measurement looks like a "
            "regression: measure both again"
        )
        yield _warning("drift", text, now)


def _about_settings(now: LabelledCase, then: LabelledCase) -> Iterator[ComparisonWarning]:
    """How one case was opened otherwise, or ran elsewhere."""
    for name in _SETTINGS:
        was, is_ = (getattr(found.case.settings, name) for found in (then, now))
        if was != is_:
            yield _warning("other-settings", f"{name} was {was}, is {is_}", now)
    if now.case.fell_back != then.case.fell_back:
        was, is_ = (", ".join(found.case.fell_back) or "nothing" for found in (then, now))
        yield _warning("fell-back", f"on the CPU instead ran {was} then, {is_} now", now)


def _about_machines(report: BenchReport, baseline: BenchReport) -> Iterator[ComparisonWarning]:
    """What else differs: machine, versions, cores, the governor, how long was measured."""
    if moved := _another_machine(report.machine, baseline):
        yield _warning("other-machine", moved)
    then, now = (_circumstances(each) for each in (baseline, report))
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            text = f"{name} was {then.get(name, 'not there')}, is {now.get(name, 'not there')}"
            yield _warning("other-versions", text)


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


def _another_machine(now: Machine, baseline: BenchReport) -> str:
    """How the machine differs, or ""; the GPU counts where a case ran off the CPU."""
    then = baseline.machine
    if now.cpu != then.cpu:
        return f"the baseline was taken on the processor '{then.cpu}', this is '{now.cpu}'"
    if now.processor and then.processor and now.processor.instruction_sets != then.processor.instruction_sets:
        had, has = (" ".join(each.instruction_sets) or "none" for each in (then.processor, now.processor))
        return f"the baseline was taken on '{then.cpu}' with the instruction sets {had}, this one has {has}"
    names = ["none" if machine.gpu is None else machine.gpu.name for machine in (then, now)]
    off_cpu = any(case.provider != "CPUExecutionProvider" for group in baseline.groups for case in group.cases)
    if off_cpu and names[0] != names[1]:
        return f"the baseline was taken on the GPU '{names[0]}', this is '{names[1]}'"
    return ""
