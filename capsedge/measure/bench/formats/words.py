"""How the formats for people say a figure, so that the table and the page say it alike."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from capsedge.measure.bench.ratio import ratio as ratio_of
from capsedge.measure.bench.report import BenchReport, Case, Group, Percentile, Ratio
from capsedge.measure.machine import Machine
from capsedge.plural import number_of
from capsedge.runtime.providers import CPU


def number(value: float) -> str:
    """Three significant digits, and every digit before the point."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}".rstrip(".")


def maybe(value: float | str | None) -> str:
    """A figure that may be missing (a dash), or a word such as "unavailable"."""
    return "-" if value is None else value if isinstance(value, str) else number(value)


def percentile(case: Case, percent: float) -> Percentile | None:
    """A case's percentile, if its sample supports it."""
    return next((each for each in case.percentiles if each.percent == percent), None)


def percentile_ms(case: Case, percent: float) -> float | None:
    """Its value."""
    found = percentile(case, percent)
    return None if found is None else found.value_ms


def percents(cases: Iterable[Case]) -> list[float]:
    """The percentiles that at least one of the cases supports."""
    return sorted({each.percent for case in cases for each in case.percentiles})


def ratio(given: Ratio | None) -> str:
    """A ratio with its interval; the first case of a group is 1."""
    if given is None:
        return "1"
    if given.low is None or given.high is None:
        return f"{number(given.value)} (too few rounds for an interval)"
    return f"{number(given.value)} ({number(given.low)} to {number(given.high)})"


def error(case: Case) -> str:
    """A case's error in percent; one on validation images says so."""
    if case.error is None:
        return "-"
    return f"{100 * case.error:.2f}{'' if case.error_on == 'test' else ' (validation)'}"


def title(group: Group) -> str:
    """What a group measured, in a few words."""
    pause = f", {group.interval_ms:g} ms idle before each query" if group.interval_ms else ""
    return f"{group.scenario}, {number_of(group.batch, 'image')} a query{pause}"


def counted(group: Group) -> str:
    """How often each case of a group ran."""
    runs = sorted({case.runs for case in group.cases}) or [0]
    fewest = "" if len(runs) == 1 else f"{runs[0]:,} to "
    return f"{fewest}{number_of(runs[-1], 'timed run')} of each in {number_of(group.rounds, 'round')}"


def doubts(report: BenchReport) -> list[str]:
    """All doubts, each once, with the batches that it is about where it is not about all."""
    about: dict[str, list[Group]] = {}
    for group in report.groups:
        for doubt in group.doubts:
            about.setdefault(doubt, []).append(group)
    every = len(report.groups)
    return [
        doubt if len(groups) == every else f"batch {', '.join(str(group.batch) for group in groups)}: {doubt}"
        for doubt, groups in about.items()
    ]


def versions(report: BenchReport) -> str:
    """What it ran with, in a line."""
    machine = report.machine
    installed = {"capsedge": report.capsedge, "Python": machine.python} | machine.onnxruntime | machine.versions
    return ", ".join(f"{name} {version}" for name, version in installed.items())


def hardware(machine: Machine) -> str:
    """What it ran on, in a line."""
    sets = "" if machine.processor is None else f" ({' '.join(machine.processor.instruction_sets)})"
    gpu = None if machine.gpu is None else machine.gpu.name
    parts = (f"{machine.cpu}{sets}", number_of(machine.cores, "core"), gpu, machine.system, machine.board)
    return ", ".join(filter(None, parts))


def slow_int8(report: BenchReport) -> list[str]:
    """A line for each int8 file that is not faster than the fp32 file of the same network beside it."""
    return list(dict.fromkeys(line for group in report.groups for line in _slow_int8(group, report.machine)))


def _slow_int8(group: Group, machine: Machine) -> Iterator[str]:
    for case in group.cases:
        beside = [each for each in group.cases if each.precision == "fp32" and _alike(each, case)]
        if not (case.precision or "").startswith("int8") or case.provider != CPU or not beside:
            continue
        found = ratio_of(case.samples_ms, beside[0].samples_ms)
        if (found.value if found.high is None else found.high) >= 1:
            by = "" if machine.processor is None else f" ({machine.processor.int8})"
            yield (
                f"int8 is not faster than fp32 on this processor{by}: '{case.label}' takes {ratio(found)} times as "
                f"long as '{beside[0].label}'"
            )


def _alike(one: Case, other: Case) -> bool:
    """Whether two cases are of one network in other types: of one folder, on one provider, with the same threads."""
    return (one.provider, one.settings.threads, one.routing) == (
        other.provider,
        other.settings.threads,
        other.routing,
    ) and Path(one.model).parent == Path(other.model).parent


def printable(text: str) -> str:
    """A name without line breaks and control characters, which files may have in theirs."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def shortened(text: str, most: int) -> str:
    """A name of so many characters at most: the middle goes, because models differ at their ends."""
    text = printable(text)
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"
