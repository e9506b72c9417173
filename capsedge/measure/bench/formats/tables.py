"""The tables of the page: the figures of the cases, how each ran, and the machine."""

from collections.abc import Callable, Iterable
from html import escape
from typing import NamedTuple

import msgspec

from capsedge.measure.bench.formats import words
from capsedge.measure.bench.formats.marks import broken, chip, text
from capsedge.measure.bench.formats.plots.drawing import Look
from capsedge.measure.bench.judged import JUDGED_BY
from capsedge.measure.bench.report import BenchReport, Case, Group
from capsedge.measure.machine import Gpu
from capsedge.plural import number_of
from capsedge.processor import Processor, in_words


class _Cell(NamedTuple):
    """What a table shows, and what it is sorted by: a number, a text, or "" for nothing."""

    shown: str
    value: str | float


def cases_table(group: Group, chosen: dict[str, Look]) -> str:
    """The figures of a group, a row for each case; what the scenario is judged by stands out."""
    judge = JUDGED_BY[group.scenario]
    judged = "images/s" if judge is None else f"p{judge:g} ms"
    columns = _columns(group)
    heads = "".join(
        f'<th scope="col"{_judge(name, judged)}><button type="button">{escape(name)}</button></th>'
        for name in ("case", *columns)
    )
    rows = "".join(
        f'<tr><th scope="row" data-value="{text(case.label)}">{chip(chosen[case.label])}{broken(case.label)}</th>'
        + "".join(_data(cell(case), _judge(name, judged)) for name, cell in columns.items())
        + "</tr>"
        for case in group.cases
    )
    return (
        f'<div class="scroll"><table class="cases"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _columns(group: Group) -> dict[str, Callable[[Case], _Cell]]:
    """Headers of the figures, and how to fill them; columns that would be empty are left out."""
    cases = group.cases
    columns: dict[str, Callable[[Case], _Cell]] = {}
    for percent in words.percents(cases):
        columns[f"p{percent:g} ms"] = _percentile_cell(percent)
    columns["mean ms"] = lambda case: _Cell(words.number(case.mean_ms), case.mean_ms)
    columns["min ms"] = lambda case: _Cell(words.number(case.min_ms), case.min_ms)
    columns["max ms"] = lambda case: _Cell(words.number(case.max_ms), case.max_ms)
    columns["images/s"] = lambda case: _Cell(words.number(case.images_per_second), case.images_per_second)
    if len(cases) > 1:
        columns["x first"] = _ratio_cell
    if any(case.energy_mj != "unavailable" for case in cases):
        columns["mJ/image"] = lambda case: _Cell(
            words.maybe(case.energy_mj), "" if isinstance(case.energy_mj, str) else case.energy_mj
        )
    if any(case.error is not None for case in cases):
        columns["error %"] = _error_cell
    return columns


def _percentile_cell(percent: float) -> Callable[[Case], _Cell]:
    def cell(case: Case) -> _Cell:
        found = words.percentile(case, percent)
        if found is None:
            return _Cell("-", "")
        bound = "" if found.bound_ms is None else f"<small>≤ {words.number(found.bound_ms)}</small>"
        return _Cell(words.number(found.value_ms) + bound, found.value_ms)

    return cell


def _error_cell(case: Case) -> _Cell:
    if case.error is None:
        return _Cell("-", "")
    return _Cell(
        f"{100 * case.error:.2f}{'' if case.error_on == 'test' else '<small>validation</small>'}", case.error
    )


def _ratio_cell(case: Case) -> _Cell:
    ratio = case.ratio
    if ratio is None:
        return _Cell("1", 1.0)
    known = ratio.low is not None and ratio.high is not None
    interval = f"{words.number(ratio.low or 0)} to {words.number(ratio.high or 0)}" if known else "no interval"
    return _Cell(f"{words.number(ratio.value)}<small>{interval}</small>", ratio.value)


def how_table(group: Group) -> str:
    """How each case was opened and warmed up, and the state of the machine, behind a click."""
    rows = [
        ("", *(text(case.label) for case in group.cases)),
        *((name, *(text(told(case)) for case in group.cases)) for name, told in _HOW.items()),
    ]
    before, after = (msgspec.structs.asdict(each) for each in (group.before, group.after))
    states = [("", "before", "after")] + [
        (escape(_NAMES.get(name, name)), text(_state(before[name])), text(_state(after[name]))) for name in before
    ]
    return (
        '<details class="how"><summary>How each case ran, and the state of the machine</summary>'
        f"{_words_table(rows)}{_words_table(states)}</details>"
    )


_HOW: dict[str, Callable[[Case], str]] = {
    "model": lambda case: case.model,
    "precision": lambda case: case.precision or "unknown",
    "routing": lambda case: case.routing or "unknown",
    "provider": lambda case: case.provider,
    "on the CPU instead": lambda case: ", ".join(case.fell_back) or "nothing",
    "threads": lambda case: str(case.settings.threads or "chosen by the work of a run"),
    "spinning": lambda case: "on" if case.settings.spinning else "off",
    "graph level": lambda case: case.settings.graph,
    "I/O binding": lambda case: {None: "off the CPU", True: "on", False: "off"}[case.settings.io_binding],
    "warm-up": lambda case: (
        f"{number_of(case.warmup.runs, 'run')} in {case.warmup.seconds:.1f} s, "
        f"{'' if case.warmup.settled else 'never '}settled"
    ),
    "timed runs": lambda case: f"{case.runs:,}",
    "loading, ms": lambda case: words.maybe(case.parts.load_ms),
    "first run, ms": lambda case: words.maybe(case.parts.first_run_ms),
    "decoding, ms": lambda case: words.maybe(case.parts.decode_ms),
    "copy in, ms": lambda case: words.maybe(case.parts.copy_in_ms),
    "compute, ms": lambda case: words.maybe(case.parts.compute_ms),
    "copy out, ms": lambda case: words.maybe(case.parts.copy_out_ms),
    "GPU's energy, mJ/image": lambda case: words.maybe(case.energy_mj),
}

_NAMES = {
    "load_average": "load average",
    "cpu_mhz": "CPU clock, MHz",
    "cpu_temperature_c": "CPU temperature, °C",
    "governor": "governor",
    "gpu_mhz": "GPU clock, MHz",
    "gpu_memory_mhz": "GPU memory clock, MHz",
    "gpu_temperature_c": "GPU temperature, °C",
    "gpu_power_w": "GPU power, W",
    "gpu_throttling": "GPU throttling",
}


def _state(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def machine_table(report: BenchReport) -> str:
    """What does not change meanwhile."""
    machine, gpu = report.machine, report.machine.gpu
    rows = [
        ("processor", machine.cpu),
        *(_processor(machine.processor) if machine.processor else []),
        ("logical cores", str(machine.cores)),
        *(_gpu(gpu) if gpu else [("GPU", "none that capsedge can use")]),
        ("system", machine.system),
        *([("board", machine.board)] if machine.board else []),
        ("versions", words.versions(report)),
    ]
    return _words_table([(name, text(value)) for name, value in rows])


def _processor(processor: Processor) -> list[tuple[str, str]]:
    return [("instruction sets", " ".join(processor.instruction_sets)), ("arithmetic", in_words(processor))]


def _gpu(gpu: Gpu) -> list[tuple[str, str]]:
    return [
        ("GPU", f"{gpu.name} ({gpu.target})"),
        ("driver", f"{gpu.driver}, for CUDA up to {gpu.cuda}"),
        ("GPU memory, MiB", words.maybe(gpu.memory_mb)),
    ]


def _words_table(rows: Iterable[tuple[str, ...]]) -> str:
    """A table of text; a row's first cell is its header."""
    lines = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
        for first, *rest in rows
    )
    return f'<div class="scroll"><table class="words"><tbody>{lines}</tbody></table></div>'


def _data(cell: _Cell, judge: str) -> str:
    return f'<td data-value="{escape(str(cell.value))}"{judge}>{cell.shown}</td>'


def _judge(name: str, judged: str) -> str:
    return ' class="judge"' if name == judged else ""
