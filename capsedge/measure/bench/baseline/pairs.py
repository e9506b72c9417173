"""Which case of one report is which of another."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from capsedge.measure.bench.report import BenchReport, Case, Group


class Found(NamedTuple):
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


def by_key(report: BenchReport, baseline: BenchReport) -> tuple[dict[Key, Found], dict[Key, Found]]:
    """The cases of both that have runs, in order; equal keys belong together."""
    both = [list(_cases(report)), list(_cases(baseline))]
    twice = {key for found in both for key, count in Counter(map(_key, found)).items() if count > 1}
    ours, theirs = ({_labelled(each, twice): each for each in found} for found in both)
    return ours, theirs


def _cases(report: BenchReport) -> Iterator[Found]:
    for group in report.groups:
        told = f", batch {group.batch}" if len(report.groups) > 1 else ""
        yield from (Found(group, case, case.label + told) for case in group.cases if any(case.samples_ms))


def _key(found: Found) -> Key:
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


def _labelled(found: Found, twice: set[Key]) -> Key:
    key = _key(found)
    return key._replace(label=found.case.label) if key in twice else key
