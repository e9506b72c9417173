"""`capsedge bench`: latency of one or more models, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, data_names, finite, model_names, session_options, sweep_axes
from capsedge.errors import CapsedgeError, Interrupted, WrongUse
from capsedge.measure.bench.plan import Plan, Scenario
from capsedge.plural import quoted
from capsedge.runtime.settings import DEFAULTS, Settings

if TYPE_CHECKING:
    from capsedge.measure.bench.report import BenchReport

DEPLOYMENT = "Deployment"

EXAMPLES = """
[bold]Examples[/bold]

capsedge bench

capsedge bench runs/a runs/b/model.int8.onnx --threads 1 --output report.html

capsedge bench runs/a --sweep precision=fp32,int8 --sweep batch=1,2,4,8,16 --output sweep.json --output sweep.html

capsedge bench runs/a --interval-ms 33 --quick

capsedge bench runs/a runs/a/model.int8.onnx --p99-ms 5 --memory --data photos/

capsedge bench --baseline old.json --max-regression 5%

capsedge bench main/model.onnx branch/model.onnx --max-ratio 1.05

capsedge bench --from report.json --output report.md
"""


@session_options("provider", "threads", "spinning", "graph", "io_binding", "cuda_graph", "allow_fallback")
def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="ONNX files, with or without a contract, engines, runs or names (capsedge models); the others are "
            "compared with the first.",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    scenario: Annotated[
        Scenario | None,
        typer.Option(
            help="single-stream: one image per query, the metric is p90; multi-stream: 8 images, p99; offline: "
            "64 images, images/s; server: one image, random arrivals, p99.  [dim]\\[default: server with --qps or "
            "--p99-ms, else single-stream][/dim]",
            show_default=False,
            rich_help_panel="Measurement",
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Images in a query.  [dim]\\[default: by the scenario][/dim]",
            show_default=False,
            rich_help_panel="Measurement",
        ),
    ] = None,
    interval_ms: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="Idle time before each query, such as the wait for the next frame of a camera.",
            rich_help_panel="Measurement",
        ),
    ] = 0.0,
    duration: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.01,
            callback=finite,
            help="Shortest measurement time of each model.  [dim]\\[default: 10][/dim]",
            show_default=False,
            rich_help_panel="Measurement",
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Exact number of timed queries of each model.",
            show_default=False,
            rich_help_panel="Measurement",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Measure each model for about one second; results are marked as quick.",
            rich_help_panel="Measurement",
        ),
    ] = False,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1,
            max=256,
            help="Threads that send queries to one session at the same time.",
            rich_help_panel=DEPLOYMENT,
        ),
    ] = 1,
    qps: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            callback=finite,
            help="Queries that arrive in a second, at random times; latency counts from the arrival.",
            show_default=False,
            rich_help_panel=DEPLOYMENT,
        ),
    ] = None,
    p99_ms: Annotated[
        float | None,
        typer.Option(
            metavar="BOUND",
            callback=finite,
            help="Find the highest rate of arrivals whose p99 stays within this bound; with --qps, try that rate.",
            show_default=False,
            rich_help_panel=DEPLOYMENT,
        ),
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory",
            help="Measure the peak memory of each model, in a process of its own.",
            rich_help_panel=DEPLOYMENT,
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Measure the error of each model on these labelled images, as eval does: a folder with a subfolder "
            "for each class, a .csv or a data set's name.",
            autocompletion=data_names,
            show_default=False,
            rich_help_panel=DEPLOYMENT,
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=V,V",
            help="Measure with each value: batch, threads, precision, provider, spinning, graph, io-binding or "
            "cuda-graph; repeat for more.",
            autocompletion=sweep_axes,
            show_default=False,
            rich_help_panel="Measurement",
        ),
    ] = None,
    settings: Settings = DEFAULTS,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Write the report: .json (complete), .csv, .md or .html; repeat for more. An interrupted "
            "measurement continues from its .json.",
            show_default=False,
            rich_help_panel="Report",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Show an earlier report; measure nothing.",
            show_default=False,
            rich_help_panel="Report",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Compare with an earlier report (.json).",
            show_default=False,
            rich_help_panel="Report",
        ),
    ] = None,
    max_regression: Annotated[
        str | None,
        typer.Option(
            metavar="PERCENT",
            help="Largest accepted slowdown against the baseline; exit code 1 above it.  [dim]\\[default: 5%][/dim]",
            show_default=False,
            rich_help_panel="Report",
        ),
    ] = None,
    other_machine: Annotated[
        bool,
        typer.Option(
            "--other-machine",
            help="Compare even if the baseline is of another processor or GPU.",
            rich_help_panel="Report",
        ),
    ] = False,
    max_ratio: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Largest accepted ratio of a model's time to the first model's; exit code 1 above it.",
            show_default=False,
            rich_help_panel="Report",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the latency of models, interleaved, so that noise of the machine affects all of them equally."""
    from capsedge.cli.console import print_json, say
    from capsedge.cli.screens.bench import check_turns, named, show_comparison, show_report, slower_than_first
    from capsedge.measure.bench.baseline import compare, parse_regression
    from capsedge.measure.bench.benchmark import lay_out
    from capsedge.measure.bench.files import check_extras, load, save

    limit = parse_regression(max_regression or "5%")
    outputs = output or []
    plan = Plan(
        scenario=scenario or ("single-stream" if qps is None and p99_ms is None else "server"),
        batch=batch,
        interval_ms=interval_ms,
        duration=duration,
        iterations=iterations,
        quick=quick,
        concurrency=concurrency,
        qps=qps,
        p99_ms=p99_ms,
        memory=memory,
        data=data,
    )
    measured = bool(models or sweep or plan != Plan() or settings != DEFAULTS)
    if source is not None and measured:
        raise WrongUse("--from shows an earlier report", "leave out models and options of a measurement")
    if baseline is None and (max_regression is not None or other_machine):
        raise WrongUse("--max-regression and --other-machine need a --baseline", "add one")
    _check_outputs(outputs, baseline)
    if max_ratio is not None:
        check_turns(plan)
    if source is None:
        lay_out(models or [], plan, settings, sweep or [])
    check_extras(outputs)
    earlier = load(baseline) if baseline is not None else None
    if earlier is not None and source is None:
        _check_baseline(earlier, models or [], settings, plan, sweep or [], other_machine=other_machine)
    report = load(source) if source is not None else _measure(models or [], settings, plan, sweep or [], outputs)
    if not as_json:
        show_report(report)
    for file in outputs:  # before the comparison, which may fail
        save(report, file)
        say(f"report: {file}")
    comparison = None if earlier is None else compare(report, earlier, limit, other_machine=other_machine)
    if as_json:
        print_json(report if comparison is None else {"report": report, "comparison": comparison})
    elif comparison is not None:
        show_comparison(comparison)
    if max_ratio is not None and (slower := slower_than_first(report, max_ratio)):
        raise CapsedgeError(f"slower than {max_ratio:g} times the first model: {', '.join(slower)}")
    rows = () if comparison is None else comparison.rows
    if regressed := [row for row in rows if row.regressed]:
        raise CapsedgeError(f"slower than '{baseline}' by more than {100 * limit:g} %: {named(regressed)}")
    if unsure := [row for row in rows if row.unsure]:
        raise CapsedgeError(f"too few rounds to decide whether these are slower: {named(unsure)}", "measure longer")


def _check_outputs(outputs: list[Path], baseline: Path | None) -> None:
    """Refuse files that cannot be written, or must not be."""
    from capsedge.measure.bench.files import check_output

    if baseline is not None and any(file.resolve() == baseline.resolve() for file in outputs):
        raise WrongUse(f"'{baseline}' is the baseline, and --output would overwrite it", "choose another file")
    for file in outputs:
        check_output(file)


def _check_baseline(
    baseline: "BenchReport",
    models: list[str],
    settings: Settings,
    plan: Plan,
    sweeps: list[str],
    *,
    other_machine: bool,
) -> None:
    """Refuse a baseline that does not fit the requested measurement, before it runs."""
    from capsedge.measure.bench.baseline import check_cases, check_machine
    from capsedge.measure.bench.sweep import parse_axes, variants
    from capsedge.measure.machine import this_machine
    from capsedge.runtime.models import title
    from capsedge.runtime.open import model_file

    if not other_machine:
        check_machine(this_machine(), baseline)
    axes = parse_axes(sweeps)
    names = [title(model_file(variant.file)) for variant in variants(models, settings, axes)]
    check_cases(plan, axes.get("batch", (plan.images,)), list(dict.fromkeys(names)), baseline)


def _measure(
    models: list[str], settings: Settings, plan: Plan, sweeps: list[str], output: list[Path]
) -> "BenchReport":
    from capsedge.cli.console import say, say_chosen
    from capsedge.cli.measuring import measuring
    from capsedge.measure.bench import benchmark
    from capsedge.runtime.models import find_model, title

    if not models:
        say(f"model: {title(find_model(None))}")
    for model in dict.fromkeys(models) or (None,):
        say_chosen(model, find_model(model))
    state = next((file for file in output if file.suffix.lower() == ".json"), None)
    try:
        with measuring() as progress:
            return benchmark.bench(
                models, plan, settings=settings, sweeps=sweeps, state=state, tell=say, progress=progress
            )
    except KeyboardInterrupt:  # benchmark.bench has written nothing; the state may be there from before
        if not output:
            raise
        files = quoted(output)
        kept = "" if state else "; with --output FILE.json the finished rounds are kept"
        raise Interrupted(f"interrupted: no new result was written to {files}{kept}") from None
