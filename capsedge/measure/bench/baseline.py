"""Compare a report with a baseline, an earlier report of the same machine, case by case."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from capsedge.errors import WrongUse
from capsedge.measure.bench.plan import METRIC, Plan
from capsedge.measure.bench.report import BenchReport, Case, Change, Comparison, ComparisonWarning, Group, WarningCode
from capsedge.measure.bench.stats import ROUNDS_FOR_INTERVAL, autocorrelated, figure, interval, rounds_of
from capsedge.measure.machine import Machine

_SETTINGS = ("spinning", "graph", "io_binding", "cuda_graph", "allow_fallback", "exact_int8")


class LabelledCase(NamedTuple):
    """A case, its group, and a label that is unique in a report of several groups."""

    group: Group
    case: Case
    label: str


class Key(NamedTuple):
    """Identity of a case: cases of two reports with equal keys are compared."""

    scenario: str
    batch: int
    interval_ms: float
    model: str
    precision: str | None
    provider: str
    threads: int
    concurrency: int
    qps: float | None
    label: str = ""


def parse_regression(text: str) -> float:
    """Parse a limit in percent: `5%` and `5` are 0.05.

    Raises:
        WrongUse: The text is not a percentage, or is ambiguous: `0.05` may mean 5 % or 0.05 %.
    """
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d+)?)\s*(%?)\s*", text, re.ASCII)
    if found is None:
        raise WrongUse(f"expected a percentage from 0 to 999999 for --max-regression, such as 5%, got '{text}'")
    number, sign = float(found[1]), found[2]
    if 0 < number < 1 and not sign:
        raise WrongUse(f"--max-regression {text} may mean {text}% or {100 * number:g}%", "add the percent sign")
    return number / 100


def check_machine(machine: Machine, baseline: BenchReport) -> None:
    """Refuse a baseline of another machine. Call this before the measurement, which takes minutes.

    Raises:
        WrongUse: The processor or its instruction sets differ, or the GPU differs and a case of the baseline ran on
            it.
    """
    if difference := _machine_difference(machine, baseline):
        raise WrongUse(
            f"{difference}: latencies of two machines cannot show a regression",
            "measure the baseline on this machine, if possible in the same job, or add --other-machine",
        )


def check_cases(plan: Plan, batches: Sequence[int], models: Sequence[str], baseline: BenchReport) -> None:
    """Refuse a baseline without any case to compare, as far as this is known before the models are opened.

    Args:
        plan: The measurement; its batch is ignored.
        batches: Images in a query.
        models: Names of the sessions.
        baseline: The earlier report.

    Raises:
        WrongUse: No case of the baseline has the same scenario, batch, interval, concurrency, rate and model; or the
            measurement seeks a rate, so that the latencies are of another rate in each report.
    """
    if plan.scenario == "server" and plan.qps is None:
        raise WrongUse("--p99-ms alone seeks a rate, and latencies at two rates cannot be compared", "give --qps too")
    theirs = list(_labelled_cases(baseline))
    keys = map(_key, theirs)
    if not any(
        (key.scenario, key.interval_ms, key.concurrency) == (plan.scenario, plan.interval_ms, plan.concurrency)
        and key.qps == plan.qps
        and key.batch in batches
        and key.model in models
        for key in keys
    ):
        raise _nothing_in_common(models, theirs)


def compare(
    report: BenchReport, baseline: BenchReport, max_regression: float, *, other_machine: bool = False
) -> Comparison:
    """Compare a report with a baseline.

    Two cases are compared if scenario, batch, interval, concurrency, rate of arrivals, model, precision, provider and
    threads are equal. Where a report has two such cases (a model was given twice), their labels must be equal too.
    The interval covers the variation between the rounds of each process, not the variation between two processes: see
    docs/bench.md before setting a limit below 5 %.

    Each case is compared by the metric of its scenario and by its median. The median is needed because a p90 on the
    edge between two modes of a machine has a very wide interval: a case that got slower in every iteration would
    pass.

    Args:
        report: The new report.
        baseline: The earlier report.
        max_regression: The limit: 0.05 accepts 5 % more time.
        other_machine: Compare although the processor or the GPU differs; the difference becomes a warning.

    Raises:
        WrongUse: The machines differ, or the reports have no case in common.
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
            *_about_environment(report, baseline),
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
    """Cases of both reports by their keys, in order."""
    both = [list(_labelled_cases(report)), list(_labelled_cases(baseline))]
    twice = {key for found in both for key, count in Counter(map(_key, found)).items() if count > 1}

    def unique_key(found: LabelledCase) -> Key:
        key = _key(found)
        return key._replace(label=found.case.label) if key in twice else key

    ours, theirs = ({unique_key(each): each for each in found} for found in both)
    return ours, theirs


def _labelled_cases(report: BenchReport) -> Iterator[LabelledCase]:
    for group in report.groups:
        suffix = f", batch {group.batch}" if len(report.groups) > 1 else ""
        yield from (LabelledCase(group, case, case.label + suffix) for case in group.cases)


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
        group.concurrency,
        None if case.served is None else case.served.qps,
    )


def _nothing_in_common(ours: Iterable[str], theirs: Iterable[LabelledCase]) -> WrongUse:
    here, there = (
        ", ".join(f"'{label}'" for label in labels) or "none" for labels in (ours, (each.label for each in theirs))
    )
    return WrongUse(
        f"the baseline has none of the measured cases ({here}), it has {there}",
        "measure the baseline with the same "
        "models, scenario, batch, interval, concurrency, rate, provider and threads",
    )


def _changes(now: LabelledCase, then: LabelledCase, limit: float) -> tuple[list[Change], list[ComparisonWarning]]:
    """Compare one case, with warnings about what limits the comparison."""
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
    text = "too few iterations in one of the reports, so only the median is compared"
    return _warning("few-iterations", text, now, f"p{percent}")


def _about_noise(now: LabelledCase, row: Change) -> ComparisonWarning:
    text = (
        f"{row.ratio:.2f} x the baseline exceeds the limit, but with fewer than {ROUNDS_FOR_INTERVAL} rounds in a "
        "report this may be noise: measure longer"
    )
    return _warning("few-rounds", text, now, row.metric)


def _about_drift(now: LabelledCase, then: LabelledCase) -> Iterator[ComparisonWarning]:
    reports = ("this report", now), ("the baseline", then)
    if names := [name for name, found in reports if autocorrelated(rounds_of(found.case))]:
        text = (
            f"neighbouring rounds of {' and of '.join(names)} are correlated: the machine drifted or changed its "
            "speed. The interval is wider to allow for it, but a change that lasted for a whole measurement looks "
            "like a regression: measure both again"
        )
        yield _warning("drift", text, now)


def _about_settings(now: LabelledCase, then: LabelledCase) -> Iterator[ComparisonWarning]:
    """Differences in how the two cases were opened and where they ran."""
    for name in _SETTINGS:
        was, is_ = (getattr(found.case.settings, name) for found in (then, now))
        if was != is_:
            yield _warning("other-settings", f"{name} was {was}, is {is_}", now)
    if now.case.fell_back != then.case.fell_back:
        was, is_ = (", ".join(found.case.fell_back) or "nothing" for found in (then, now))
        yield _warning("fell-back", f"operators that fell back to the CPU: {was} in the baseline, {is_} now", now)


def _about_environment(report: BenchReport, baseline: BenchReport) -> Iterator[ComparisonWarning]:
    """Differences in machine, versions, cores, governor and length of the measurement."""
    if difference := _machine_difference(report.machine, baseline):
        yield _warning("other-machine", difference)
    then, now = (_environment(each) for each in (baseline, report))
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            text = f"{name} was {then.get(name, 'not installed')}, is {now.get(name, 'not installed')}"
            yield _warning("other-versions", text)


def _environment(report: BenchReport) -> dict[str, str]:
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


def _machine_difference(now: Machine, baseline: BenchReport) -> str:
    """How the machine differs, or "". The GPU is compared unless all cases of the baseline ran on the CPU."""
    then = baseline.machine
    if now.cpu != then.cpu:
        return f"the baseline was measured on the processor '{then.cpu}', this is '{now.cpu}'"
    if now.processor and then.processor and now.processor.instruction_sets != then.processor.instruction_sets:
        had, has = (" ".join(each.instruction_sets) or "none" for each in (then.processor, now.processor))
        return f"the baseline was measured on '{then.cpu}' with the instruction sets {had}, this one has {has}"
    names = ["none" if machine.gpu is None else machine.gpu.name for machine in (then, now)]
    off_cpu = any(case.device != "cpu" for group in baseline.groups for case in group.cases)
    if off_cpu and names[0] != names[1]:
        return f"the baseline was measured on the GPU '{names[0]}', this is '{names[1]}'"
    return ""
