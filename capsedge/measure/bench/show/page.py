"""A report as one self-contained HTML page: no network, no other file."""

import hashlib
import shlex
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from capsedge.errors import require
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.bench.show import model_plots, sample_plots, text
from capsedge.measure.bench.show.columns import BREAKDOWN, ENERGY, FACTS, LABEL, Column, figures
from capsedge.measure.bench.show.drawing import Look, Plot, looks
from capsedge.measure.machine import Machine
from capsedge.outside import one_line
from capsedge.processor import in_words

_FOLDER = Path(__file__).parent
STYLE = (_FOLDER / "page.css").read_text(encoding="utf-8")
"""Style sheet of capsedge's HTML pages: light mode, dark mode and print."""

# Up to this many groups are all expanded when the page opens; of more, only the first.
_OPEN_GROUPS = 2

_STATES = {
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


def page(report: BenchReport) -> str:
    """Format a report as HTML.

    Raises:
        MissingExtra: Jinja or matplotlib is not installed.
    """
    require("jinja2", extra="plots")
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["blank"] = lambda value: "" if value is None else value
    chosen = looks(report)
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    return (
        environment.get_template("page.html")
        .render(
            report=report,
            looks=chosen,
            style=STYLE,
            script=script,
            policy=_policy(script),
            day=report.created.replace("T", " ", 1).replace("+00:00", " UTC").replace("Z", " UTC"),
            hardware=text.hardware(report.machine),
            command=shlex.join(report.command),
            slow_int8=text.slow_int8(report),
            warnings=text.warnings(report),
            sweep=model_plots.batch_sweep(report, chosen) if model_plots.has_sweep(report) else [],
            groups=[_shown(report, index, chosen) for index in range(len(report.groups))],
            machine=list(_machine(report)),
            details=text.DETAILS,
        )
        .lstrip()
    )


def _printable(value: Any) -> Any:
    """Escape line breaks and control characters in names; markup stays as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else one_line(value)


def _policy(script: str) -> str:
    """Content security policy: fetch nothing, and run only the page's own script."""
    own = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{own}'"


def _shown(report: BenchReport, index: int, chosen: dict[str, Look]) -> dict[str, Any]:
    """Template variables of one group."""
    group = report.groups[index]
    return {
        "group": group,
        "shut": index > 0 and len(report.groups) > _OPEN_GROUPS,
        "title": text.title(group),
        "counted": text.counted(group),
        "metric": text.metric(group),
        "columns": figures(group),
        "facts": [("", *map(LABEL.text, group.cases)), *_facts(group)],
        "states": [("", "before", "after"), *_states(group)],
        "plots": list(_plots(group, chosen, f"g{index + 1}")),
    }


def _facts(group: Group) -> Iterator[tuple[str, ...]]:
    """Rows of the table of details: settings, warm-up and breakdown of each case."""
    columns: list[Column] = [*FACTS[1:], *BREAKDOWN, ENERGY]
    for column in columns:
        yield column.name, *map(column.text, group.cases)


def _states(group: Group) -> Iterator[tuple[str, str, str]]:
    before, after = (msgspec.structs.asdict(each) for each in (group.before, group.after))
    for name in before:
        yield _STATES.get(name, name), _state(before[name]), _state(after[name])


def _state(value: object) -> str:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _machine(report: BenchReport) -> Iterator[tuple[str, str]]:
    """Rows of the table of the machine."""
    machine: Machine = report.machine
    yield "processor", machine.cpu
    if machine.processor:
        yield "instruction sets", " ".join(machine.processor.instruction_sets)
        yield "arithmetic", in_words(machine.processor)
    yield "logical cores", str(machine.cores)
    if machine.gpu:
        yield "GPU", f"{machine.gpu.name} ({machine.gpu.target})"
        yield "driver", f"{machine.gpu.driver}, supports CUDA up to {machine.gpu.cuda}"
        yield "GPU memory, MiB", text.maybe(machine.gpu.memory_mb)
    else:
        yield "GPU", "none that capsedge can use"
    yield "system", machine.system
    if machine.board:
        yield "board", machine.board
    yield "versions", text.versions(report)


def _plots(group: Group, chosen: dict[str, Look], name: str) -> Iterator[Plot]:
    sampled = msgspec.structs.replace(group, cases=tuple(case for case in group.cases if any(case.samples_ms)))
    if sampled.cases:
        yield sample_plots.histogram(sampled, chosen, f"{name}-histogram")
        yield sample_plots.ecdf(sampled, chosen, f"{name}-ecdf")
        yield sample_plots.over_time(sampled, chosen, f"{name}-time")
    if model_plots.has_errors(group):
        yield model_plots.pareto(group, chosen, f"{name}-pareto")
    if model_plots.has_breakdown(group):
        yield model_plots.breakdown(group, chosen, f"{name}-breakdown")
