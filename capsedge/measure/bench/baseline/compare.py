"""A report against an earlier one, case by case."""

from collections.abc import Iterable, Iterator

from capsedge.errors import WrongUse
from capsedge.measure.bench.baseline.circumstances import differences, settings_differences
from capsedge.measure.bench.baseline.interval import alike, figure, interval, rounds_of
from capsedge.measure.bench.baseline.pairs import Found, by_key
from capsedge.measure.bench.baseline.place import another_machine, check_machine
from capsedge.measure.bench.baseline.record import Change, Comparison
from capsedge.measure.bench.judged import JUDGED_BY
from capsedge.measure.bench.ratio import FEWEST_ROUNDS
from capsedge.measure.bench.report import BenchReport


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
    moved = another_machine(report.machine, baseline)
    ours, theirs = by_key(report, baseline)
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
            *differences(report, baseline),
            *dict.fromkeys(
                f"of the baseline: {doubt}"
                for key, found in theirs.items()
                if key in ours
                for doubt in found.group.doubts
            ),
        ),
    )


def _changes(now: Found, then: Found, limit: float) -> tuple[list[Change], list[str]]:
    """Compare one case, and say what weakens that."""
    merits, remarks = _merits(now, then)
    rows = [_change(now, then, merit, limit) for merit in merits]
    unsure = [row for row in rows if row.low is None and row.ratio > 1 + limit]
    remarks += [
        f"{row.label}: {row.ratio:.2f} x the baseline is beyond the limit, but with fewer than {FEWEST_ROUNDS} "
        "rounds on a side nobody knows whether that is noise: measure longer"
        for row in unsure
    ]
    return rows, [*remarks, *_moods(now, then), *settings_differences(now, then)]


def _moods(now: Found, then: Found) -> Iterator[str]:
    sides = [name for name, found in (("now", now), ("in the baseline", then)) if alike(rounds_of(found.case))]
    if sides:
        yield (
            f"{now.label}: neighbouring rounds were alike {' and '.join(sides)}, because the machine drifted or "
            "changed its speed; the interval is wider for it, and one that lasted through a whole measurement looks "
            "like a regression: measure both again"
        )


def _merits(now: Found, then: Found) -> tuple[list[int | None], list[str]]:
    """The percentiles that a case is compared by, None for the mean; a remark where the scenario's is not there."""
    percent = JUDGED_BY[now.group.scenario]
    supported = [{each.percent for each in found.case.percentiles} for found in (now, then)]
    if percent is None or all(percent in percentiles for percentiles in supported):
        return [percent, 50], []
    return [50], [f"{now.label}: compared by its median alone, because one side has too few runs for p{percent}"]


def _change(now: Found, then: Found, percent: int | None, limit: float) -> Change:
    now_rounds, then_rounds = rounds_of(now.case), rounds_of(then.case)
    now_ms, then_ms = figure(now_rounds, percent), figure(then_rounds, percent)
    ratio = now_ms / then_ms
    low, high = interval(now_rounds, then_rounds, percent)
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


def _named(found: Iterable[Found]) -> str:
    return ", ".join(f"'{each.label}'" for each in found) or "none"
