"""Values and warnings as text, the same in all formats for people."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from capsedge.measure.bench.plan import METRIC
from capsedge.measure.bench.report import BenchReport, Case, Comparison, Group, Percentile, Ratio
from capsedge.measure.bench.stats import ratio as ratio_of
from capsedge.measure.machine import Machine
from capsedge.outside import one_line
from capsedge.plural import amount, number_of
from capsedge.runtime.providers import CPU

DETAILS = "Beside a percentile: its upper bound with 99 % confidence; beside a ratio: its 95 % interval."


def number(value: float) -> str:
    """Format a number with three significant digits, and all digits before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:#.3g}".rstrip(".")


def maybe(value: float | str | None) -> str:
    """Format a number, a missing value (a dash), or a word such as "unavailable"."""
    return "-" if value is None else value if isinstance(value, str) else number(value)


def percentile(case: Case, percent: float) -> Percentile | None:
    """A percentile of a case, or None if the sample does not support it."""
    return next((each for each in case.percentiles if each.percent == percent), None)


def percentile_ms(case: Case, percent: float) -> float | None:
    """The value of `percentile`."""
    found = percentile(case, percent)
    return None if found is None else found.value_ms


def interval(low: float | None, high: float | None) -> str:
    """Format a 95 % interval; "no interval" if it is None."""
    return "no interval" if low is None or high is None else f"{number(low)}-{number(high)}"


def ratio(given: Ratio) -> str:
    """Format a ratio with its interval."""
    return f"{number(given.value)} ({interval(given.low, given.high)})"


def title(group: Group) -> str:
    """Scenario, batch and interval of a group in words."""
    parts = [group.scenario, f"{number_of(group.batch, 'image')} per query"]
    if group.interval_ms:
        parts.append(f"{amount(group.interval_ms)} ms idle before each query")
    if group.scenario == "server":
        rate = (
            "the highest rate of Poisson arrivals"
            if group.qps is None
            else f"Poisson arrivals at {amount(group.qps)}/s"
        )
        bound = "" if group.p99_ms is None else f", p99 within {amount(group.p99_ms)} ms"
        parts.append(f"{rate}{bound}")
    if group.concurrency > 1:
        parts.append(f"{group.concurrency} {'threads' if group.scenario == 'server' else 'clients'}")
    return ", ".join(parts)


def metric(group: Group) -> str:
    """Name of the metric of a group's scenario."""
    percent = METRIC[group.scenario]
    return "images/s" if percent is None else f"p{percent}"


def counted(group: Group) -> str:
    """Number of timed iterations and rounds of a group in words."""
    counts = sorted({case.iterations for case in group.cases}) or [0]
    fewest = "" if len(counts) == 1 else f"{counts[0]:,} to "
    in_rounds = "" if group.scenario == "server" else f" in {number_of(group.rounds, 'round')}"
    return f"{fewest}{number_of(counts[-1], 'timed iteration')} per case{in_rounds}"


def warnings(report: BenchReport) -> list[str]:
    """All warnings, each once, with the cases and batches that it concerns unless it concerns all."""
    found = [(each.text, _quoted(each.case), group.batch) for group in report.groups for each in group.warnings]
    return _merged(found, len(report.groups))


def comparison_warnings(comparison: Comparison) -> list[str]:
    """All warnings of a comparison, each once; those of the baseline's own report are marked."""
    batches = {row.batch for row in comparison.rows} | {each.batch for each in comparison.warnings if each.batch}
    found = []
    for each in comparison.warnings:
        origin = "of the baseline" if each.of_baseline else None
        found.append((": ".join(filter(None, (origin, each.metric, each.text))), _quoted(each.case), each.batch))
    return _merged(found, len(batches))


def _quoted(label: str | None) -> str:
    return "" if label is None else f"'{label}'"


def _merged(warnings: Iterable[tuple[str, str, int | None]], batches: int) -> list[str]:
    """Merge warnings with the same text.

    Args:
        warnings: Text, quoted label of the case ("" for all cases), and batch (None for all batches).
        batches: Number of batches in the report.
    """
    about: dict[str, dict[str, list[str]]] = {}
    for text, name, batch in warnings:
        about.setdefault(text, {}).setdefault(name, []).extend([] if batch is None else [str(batch)])
    return [line for text, names in about.items() for line in _warning_lines(text, names, batches)]


def _warning_lines(text: str, about: dict[str, list[str]], batches: int) -> Iterator[str]:
    """One line for each set of batches, with the cases that it concerns."""
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
    """Versions of the software, in one line."""
    machine = report.machine
    installed = {"capsedge": report.capsedge, "Python": machine.python} | machine.onnxruntime | machine.versions
    return ", ".join(f"{name} {version}" for name, version in installed.items())


def energy_of_cpu(report: BenchReport) -> str | None:
    """Say that the machine shows no energy of its processor; None where it does, or no case was finished."""
    cases = [case for group in report.groups for case in group.cases]
    if not cases or any(case.cpu_energy_mj != "unavailable" for case in cases):
        return None
    return "CPU energy: not shown by this machine"


def trials(group: Group) -> list[str]:
    """One line for each case of a search: the rates that were tried, with their p99."""
    lines = []
    for case in group.cases:
        if case.served is None or group.p99_ms is None:
            continue
        tried = [
            f"{number(each.qps)}/s {'-' if each.p99_ms is None else number(each.p99_ms)} ms "
            f"{'held' if each.held else 'not held'}"
            for each in sorted(case.served.trials, key=lambda trial: trial.qps)
        ]
        lines.append(f"'{case.label}': p99 at the rates that were tried: {', '.join(tried)}")
    return lines


def hardware(machine: Machine) -> str:
    """Hardware and system, in one line."""
    sets = "" if machine.processor is None else f" ({' '.join(machine.processor.instruction_sets)})"
    gpu = None if machine.gpu is None else machine.gpu.name
    parts = (f"{machine.cpu}{sets}", number_of(machine.cores, "core"), gpu, machine.system, machine.board)
    return ", ".join(filter(None, parts))


def slow_int8(report: BenchReport) -> list[str]:
    """One line for each int8 file that is not faster than the fp32 file of the same network in its group."""
    return list(dict.fromkeys(line for group in report.groups for line in _slow_int8(group, report.machine)))


def _slow_int8(group: Group, machine: Machine) -> Iterator[str]:
    if group.scenario == "server":  # its cases do not take turns, so that no ratio compares them
        return
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
    """Whether two cases are the same network in different precisions, on the same provider, with the same threads."""

    def network(case: Case) -> tuple[object, ...]:
        return case.network, Path(case.file).parent, case.routing, case.provider, case.settings.threads

    return network(one) == network(other)


def shortened(text: str, most: int) -> str:
    """Shorten a name to `most` characters in the middle, because names of models differ at their ends."""
    text = one_line(text)
    if len(text) <= most:
        return text
    head = (most - 1) // 3
    return f"{text[:head]}…{text[head + 1 - most :]}"
