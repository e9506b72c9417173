"""`capsedge profile`: measures a model's time by stage and layer, beside the roofline of this machine."""

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from capsedge.cli.options import JsonOption, ModelArgument, provider_words, session_options
from capsedge.errors import WrongUse
from capsedge.runtime.settings import DEFAULTS, Settings

EXAMPLES = """
[bold]Examples[/bold]

capsedge profile

capsedge profile runs/my-run/model.int8.onnx --layers --threads 1

capsedge profile model.onnx --trace trace.json --plot roofline.svg

capsedge profile model.onnx --json | jq .stages
"""


@session_options("provider", "threads", "spinning", "graph", "allow_fallback")
def profile(
    model: ModelArgument = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in a query.")] = 1,
    iterations: Annotated[
        int | None,
        typer.Option(
            help="Timed iterations, 50 or more.  [dim]\\[default: as many as take 1 s, 50 to 1,000][/dim]",
            show_default=False,
        ),
    ] = None,
    settings: Settings = DEFAULTS,
    layers: Annotated[bool, typer.Option("--layers", help="Also show every layer.")] = False,
    roofline: Annotated[
        bool, typer.Option(help="Measure this machine's peak compute and memory bandwidth first (two seconds).")
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
    """Measure the time of each stage and layer by the runtime's profiler, beside this machine's roofline."""
    from capsedge.cli.console import next_command, print_json, say, say_chosen
    from capsedge.cli.measuring import measuring
    from capsedge.cli.screens.profile import show_profile
    from capsedge.files import check_replaceable, check_writable, write_atomically
    from capsedge.measure.profile.measure import check_iterations, profile_model
    from capsedge.measure.profile.trace import TRACE_MARK, check_trace, trace_of
    from capsedge.runtime.models import find_model

    if trace is not None:
        check_trace(trace)
    if plot is not None:
        from capsedge.measure.profile.plot import PLOT_MARK, check_drawing, check_plot, save_plot

        check_plot(plot)
    settings = replace(settings, batch=batch)
    file = find_model(model)
    say_chosen(model, file)
    if trace is not None and file.suffix == ".engine":
        raise WrongUse("--trace needs ONNX Runtime's profiler", "give the .onnx file, or leave out --trace")
    if trace is not None:
        check_writable(trace)
        check_replaceable(trace, TRACE_MARK, "profile --trace")
    if plot is not None:
        check_writable(plot)
        check_replaceable(plot, PLOT_MARK, "profile --plot")
    check_iterations(iterations)
    if plot is not None:
        check_drawing()
    with measuring() as progress:
        measured = profile_model(
            file, settings, batch=batch, iterations=iterations, roofline=roofline, progress=progress
        )
    if as_json:
        print_json(measured.profile)
    else:
        show_profile(measured.profile, layers=layers)
    if trace is not None:
        write_atomically(trace, trace_of(measured.profile, measured.runs))
        say(f"wrote {trace}: open it in ui.perfetto.dev or chrome://tracing")
    if plot is not None:
        save_plot(measured.profile, plot)
        say(f"wrote {plot}")
    if not as_json:
        next_command("capsedge", "bench", *([] if model is None else [model]), *provider_words(settings))
