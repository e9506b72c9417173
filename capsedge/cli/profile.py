"""`capsedge profile`: where the time of a model goes, by stage and layer, and how far it is from the roof."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import (
    AllowFallbackOption,
    GraphOption,
    JsonOption,
    ProviderOption,
    SpinningOption,
    ThreadsOption,
    model_names,
)
from capsedge.cli.tables import NARROW, longest_word
from capsedge.errors import WrongUse
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.measure.profile.report import LayerTime, Profile, StageTime

EXAMPLES = """
[bold]Examples[/bold]

capsedge profile

capsedge profile runs/my-run/model.int8.onnx --layers --threads 1

capsedge profile model.onnx --trace trace.json --plot roofline.svg

capsedge profile model.onnx --json | jq .stages
"""


_WIDE = 120  # columns of a terminal that shows all that is known of a layer
_TEXTS = ("stage", "layer", "op", "type", "bound by")


def profile(
    model: Annotated[
        str | None,
        typer.Argument(
            help="An ONNX file, an engine, a run's folder or a model's name (capsedge models).",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in a query.")] = 1,
    iterations: Annotated[
        int | None,
        typer.Option(
            help="Timed iterations, 50 or more.  [dim]\\[default: those of 1 s, 50 to 1,000][/dim]",
            show_default=False,
        ),
    ] = None,
    provider: ProviderOption = None,
    threads: ThreadsOption = 0,
    spinning: SpinningOption = True,
    graph: GraphOption = "all",
    allow_fallback: AllowFallbackOption = False,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer, not the stages only.")] = False,
    roofline: Annotated[
        bool, typer.Option(help="Measure what this machine can do: products and copies, two seconds.")
    ] = True,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Write a trace for ui.perfetto.dev.", show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.svg", help="Draw the roofline and the shares (svg, png, pdf).", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which part of a network takes how long, by the runtime's own profiler, and what this machine allows."""
    from capsedge.cli.console import next_command, print_json, say, say_chosen
    from capsedge.cli.measuring import measuring
    from capsedge.files import check_writable, write_atomically
    from capsedge.measure.profile.measure import profile_model
    from capsedge.measure.profile.trace import check_trace, trace_of
    from capsedge.runtime.models import find_model
    from capsedge.runtime.settings import Settings

    if trace is not None:
        check_trace(trace)
    if plot is not None:
        from capsedge.measure.profile.plot import check_plot, save_plot

        check_plot(plot)
    settings = Settings(
        provider=provider,
        threads=threads,
        spinning=spinning,
        graph=graph,
        allow_fallback=allow_fallback,
        batch=batch,
    )
    file = find_model(model)
    say_chosen(model, file)
    if trace is not None and file.suffix == ".engine":
        raise WrongUse("a trace is made of ONNX Runtime's profile: give the .onnx file, or leave out --trace")
    for output in filter(None, (trace, plot)):
        check_writable(output)
    with measuring() as progress:
        measured = profile_model(
            file, settings, batch=batch, iterations=iterations, roofline=roofline, progress=progress
        )
    if as_json:
        print_json(measured.profile)
    else:
        _print(measured.profile, layers=layers)
    if trace is not None:
        write_atomically(trace, trace_of(measured.profile, measured.runs))
        say(f"wrote {trace}: open it in ui.perfetto.dev or chrome://tracing")
    if plot is not None:
        save_plot(measured.profile, plot)
        say(f"wrote {plot}")
    if not as_json:
        next_command("capsedge", "bench", *([] if model is None else [model]))


def _print(found: "Profile", *, layers: bool) -> None:
    from rich.text import Text

    from capsedge.cli.console import out, say
    from capsedge.measure.bench.show.text import hardware

    out.print(Text(f"{found.model}", "bold").append(f"  {_heading(found)}", "not bold"), soft_wrap=True)
    if layers:
        _print_layers(found)
    _print_stages(found)
    say(hardware(found.machine))
    _say_roofs(found)
    _say_warnings(found)


def _heading(found: "Profile") -> str:
    words = [found.precision or "", found.provider.replace("ExecutionProvider", ""), f"batch {found.batch}"]
    if found.settings.threads:
        words.append(_threads(found.settings.threads))
    return ", ".join([*filter(None, words), f"{found.iterations} iterations"])


def _threads(count: int) -> str:
    return number_of(count, "thread")


def _print_stages(found: "Profile") -> None:
    from capsedge.cli.console import out

    wide = out.width >= NARROW
    columns: list[tuple[str, bool, Callable[[StageTime], str]]] = [
        ("stage", True, lambda stage: stage.stage),
        ("layers", wide, lambda stage: str(stage.layers)),
        ("us", True, lambda stage: _us(stage.time_us)),
        ("share", True, lambda stage: _percent(stage.share)),
        ("MFLOP", True, lambda stage: _mega(stage.flops)),
        ("MB", wide, lambda stage: _mega(stage.size_bytes)),
        ("GFLOP/s", True, lambda stage: _rate(stage.gflops)),
        ("of roof", found.roofs is not None, lambda stage: _percent(stage.of_roof)),
    ]
    shown = [(name, cell) for name, is_shown, cell in columns if is_shown]
    names = [name for name, _ in shown]
    rows = [[cell(stage) for _, cell in shown] for stage in found.stages]
    told = ({"stage": name, "us": _us(time_us)} for name, time_us in _whole(found))
    _print_table(names, rows, [[line.get(name, "") for name in names] for line in told])


def _whole(found: "Profile") -> list[tuple[str, float]]:
    """What the layers do not explain is told with them; a difference below 0 is a warning."""
    whole = found.whole
    rows = {
        "all layers": whole.layers_us,
        "between the layers": None if whole.between_us < 0 else whole.between_us,
        "an iteration": whole.plain_us,
        "a profiled iteration": whole.profiled_us,
        "  of which the profiler": None if (whole.profiler_us or 0.0) < 0 else whole.profiler_us,
    }
    return [(name, time_us) for name, time_us in rows.items() if time_us is not None]


def _print_layers(found: "Profile") -> None:
    """A row for each layer; a narrow terminal gets the columns that matter most."""
    from capsedge.cli.console import out

    wide, roofs = out.width >= _WIDE, found.roofs is not None
    rates = not roofs or out.width >= NARROW  # of the two, the share of the roof says more
    columns: list[tuple[str, bool, Callable[[LayerTime], str]]] = [
        ("layer", True, _name),
        ("op", wide, lambda layer: layer.op),
        ("stage", True, lambda layer: layer.stage),
        ("type", wide, lambda layer: layer.kind or ""),
        ("us", True, lambda layer: _us(layer.time_us)),
        ("recorded", wide, lambda layer: _us(layer.recorded_us)),
        ("share", True, lambda layer: _percent(layer.share)),
        ("MFLOP", wide, lambda layer: _mega(layer.flops)),
        ("FLOP/B", wide, lambda layer: "" if layer.intensity is None else f"{layer.intensity:.1f}"),
        ("GFLOP/s", rates, lambda layer: _rate(layer.gflops)),
        ("of roof", roofs, lambda layer: _percent(layer.of_roof)),
        ("bound by", wide and roofs, lambda layer: layer.bound or ""),
    ]
    shown = [(name, cell) for name, is_shown, cell in columns if is_shown]
    rows = [[cell(layer) for _, cell in shown] for layer in found.layers]
    _print_table([name for name, _ in shown], rows, [])


def _name(layer: "LayerTime") -> str:
    """A layer by its module where the contract names it: torch and the quantizer add the same words to each."""
    return layer.layer.removesuffix("_quantized").removesuffix(".weight") or layer.name


def _print_table(names: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for name in names:
        right = name not in _TEXTS
        table.add_column(name, justify="right" if right else "left", no_wrap=right, overflow="fold")
        if name == "stage":
            table.columns[-1].min_width = longest_word(
                [name, *(row[len(table.columns) - 1] for row in (*rows, *foot))]
            )
    for place, row in enumerate(rows):
        table.add_row(*map(Text, row), end_section=bool(foot) and place == len(rows) - 1)
    for row in foot:
        table.add_row(*(Text(cell, "dim") for cell in row))
    out.print(table)
    out.print()


def _us(value: float) -> str:
    return f"{value:,.1f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"


def _mega(value: int | None) -> str:
    return f"{value / 1e6:,.3f}" if value else ""


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def _say_roofs(found: "Profile") -> None:
    from capsedge.cli.console import say

    if found.roofs is None:
        return
    rates = [f"{kind} {rate:,.0f} GFLOP/s" for kind, rate in found.roofs.gflops.items()]
    copies = [f"{level.name} {level.gb_per_s:,.0f} GB/s" for level in found.roofs.levels]
    sides = " and ".join(f"{side}x{side}" for side in found.roofs.product_sides)
    say(
        f"roofs of this machine, {_threads(found.roofs.threads)}: {', '.join(rates)} "
        f"(products of {sides}); {', '.join(copies)} (copies, read and written)"
    )


def _say_warnings(found: "Profile") -> None:
    from capsedge.cli.console import say

    for warning in found.warnings:
        say(f"note: {warning}")
