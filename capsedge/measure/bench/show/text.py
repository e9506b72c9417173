"""Figures and facts as text, so that all formats for people write them alike."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from capsedge.measure.bench.plan import METRIC
from capsedge.measure.bench.report import BenchReport, Case, Comparison, Group, Percentile, Ratio
from capsedge.measure.bench.stats import ratio as ratio_of
from capsedge.measure.machine import Machine
from capsedge.outside import one_line
from capsedge.plural import number_of
from capsedge.runtime.providers import CPU

DETAILS = "Beside a percentile: what the true one is below, with 99 % confidence; beside a ratio: its 95 % interval."


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


def interval(low: float | None, high: float | None) -> str:
    """A 95 % interval, or that there is none."""
    return "no interval" if low is None or high is None else f"{number(low)}-{number(high)}"


def ratio(given: Ratio) -> str:
    """A ratio with its interval."""
    return f"{number(given.value)} ({interval(given.low, given.high)})"


def title(group: Group) -> str:
    """What a group measured, in a few words."""
    pause = f", {group.interval_ms:g} ms idle before each query" if group.interval_ms else ""
    return f"{group.scenario}, {number_of(group.batch, 'image')} a query{pause}"


def metric(group: Group) -> str:
    """The metric of a group's scenario."""
    percent = METRIC[group.scenario]
    return "images/s" if percent is None else f"p{percent}"


def counted(group: Group) -> str:
    """How many iterations each case of a group had."""
    counts = sorted({case.iterations for case in group.cases}) or [0]
    fewest = "" if len(counts) == 1 else f"{counts[0]:,} to "
    return f"{fewest}{number_of(counts[-1], 'timed iteration')} of each in {number_of(group.rounds, 'round')}"


def warnings(report: BenchReport) -> list[str]:
    """All warnings, each once: with the cases and the batches that it is about, where it is not about all."""
    found = [(each.text, _quoted(each.case), group.batch) for group in report.groups for each in group.warnings]
    return _merged(found, len(report.groups))


def comparison_warnings(comparison: Comparison) -> list[str]:
    """All warnings of a comparison, likewise; those of the baseline's own report say so."""
    batches = {row.batch for row in comparison.rows} | {each.batch for each in comparison.warnings if each.batch}
    found = []
    for each in comparison.warnings:
        origin = "of the baseline" if each.of_baseline else None
        found.append((": ".join(filter(None, (origin, each.metric, each.text))), _quoted(each.case), each.batch))
    return _merged(found, len(batches))


def _quoted(label: str | None) -> str:
    return "" if label is None else f"'{label}'"


def _merged(warnings: Iterable[tuple[str, str, int | None]], batches: int) -> list[str]:
    """Lines that say each text once.

    Args:
        warnings: The text of each, the name of what it is about ("" is all), and the batch (None is all).
        batches: How many batches there are.
    """
    about: dict[str, dict[str, list[str]]] = {}
    for text, name, batch in warnings:
        about.setdefault(text, {}).setdefault(name, []).extend([] if batch is None else [str(batch)])
    return [line for text, names in about.items() for line in _warning_lines(text, names, batches)]


def _warning_lines(text: str, about: dict[str, list[str]], batches: int) -> Iterator[str]:
    """A line for each set of batches, which names the cases that it is about."""
    by_batches: dict[tuple[str, ...], list[str]] = {}
    for name, in_batches in about.items():
        by_batches.setdefault(tuple(in_batches), []).append(name)
    for numbers, all_names in by_batches.items():
        names = list(filter(None, all_names))
        named = " and ".join(names) if len(names) < 3 else f"{len(names)} models"
        where = "" if len(numbers) in (0, batches) else f"batch {', '.join(numbers)}"
        prefix = ", ".join(filter(None, (where, named)))
        yield f"{prefix}: {text}" if prefix else text


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
        beside = [each for each in group.cases if each.precision == "fp32" and _same_network(each, case)]
        if not (case.precision or "").startswith("int8") or case.provider != CPU or not beside:
            continue
        found = ratio_of(case.samples_ms, beside[0].samples_ms)
        if (found.value if found.high is None else found.high) >= 1:
            by = "" if machine.processor is None else f" ({machine.processor.int8})"
            yield (
                f"int8 is not faster than fp32 on this processor{by}: '{case.label}' takes {ratio(found)} times as "
                f"long as '{beside[0].label}'"
            )


def _same_network(one: Case, other: Case) -> bool:
    """Whether two cases are of one network in other types: of one folder, on one provider, with the same threads."""

    def network(case: Case) -> tuple[object, ...]:
        return case.network, Path(case.file).parent, case.routing, case.provider, case.settings.threads

    return network(one) == network(other)


def shortened(text: str, most: int) -> str:
    """A name of so many characters at most: the middle goes, because models differ at their ends."""
    text = one_line(text)
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"
