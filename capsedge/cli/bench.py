"""`capsedge bench`: latency of one or more models, side by side in one run."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, ProviderOption, ThreadsOption

if TYPE_CHECKING:
    from capsedge.runtime.bench import LatencyReport, ModelLatency

EXAMPLES = """
[bold]Examples[/bold]

capsedge bench

capsedge bench runs/a/model.onnx runs/b/model.onnx --threads 1

capsedge bench model.onnx --batch 8 --runs 662 --json
"""


def bench(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="ONNX files, with or without a contract, engines, runs or built-in names.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 1,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time to spend on each model.")] = 5.0,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Timed runs of each model, instead of --seconds.", show_default=False)
    ] = None,
    provider: ProviderOption = None,
    threads: ThreadsOption = 0,
    samples: Annotated[bool, typer.Option("--samples", help="Keep every timed run in the JSON.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Time models in turns, in one run, so that the machine's moods hit all of them alike."""
    from capsedge.cli.console import print_json
    from capsedge.runtime import bench as measure
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session

    files = [find_model(model) for model in models] if models else [find_model()]
    with ExitStack() as stack:
        sessions = [stack.enter_context(open_session(file, provider=provider, threads=threads)) for file in files]
        with measuring() as progress:
            report = measure.bench(
                sessions,
                batch=batch,
                seconds=seconds,
                runs=runs,
                threads=threads,
                keep_samples=samples,
                progress=progress,
            )
    if as_json:
        print_json(report)
    else:
        _print_table(report)


@contextmanager
def measuring() -> "Iterator[Callable[[float], None]]":
    """Draw a bar on a terminal, between rounds only: a thread that draws would be timed too."""
    from capsedge.cli.console import err

    if not err.is_terminal:
        yield lambda _: None
        return
    from time import monotonic

    from rich.progress import Progress

    with Progress(console=err, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=1.0)
        drawn = 0.0

        def draw(share: float) -> None:
            nonlocal drawn
            if monotonic() - drawn > 0.2:
                bar.update(task, completed=share, refresh=True)
                drawn = monotonic()

        yield draw


def _print_table(report: "LatencyReport") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out, say

    table = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("model", overflow="fold")
    places = [row.provider.replace("ExecutionProvider", "") for row in report.models]
    if len(set(places)) > 1:
        table.add_column("on", overflow="fold")
    for column in ("p50 ms", "p90 ms", "p99 ms", "mean ms", "images/s"):
        table.add_column(column, justify="right", no_wrap=True)
    if len(report.models) > 1:
        table.add_column("x first", justify="right", no_wrap=True)
    for row, place in zip(report.models, places, strict=True):
        where = [place] if len(set(places)) > 1 else []
        times = [_ms(value) for value in (row.p50_ms, row.p90_ms, row.p99_ms, row.mean_ms)]
        ratio = [_times_first(row)] if len(report.models) > 1 else []
        table.add_row(Text(_short(row.model)), *where, *times, f"{row.images_per_second:,.0f}", *ratio)
    out.print(table)
    machine = report.machine
    versions = ", ".join(f"{name} {version}" for name, version in machine.onnxruntime.items())
    say(
        f"on {' and '.join(dict.fromkeys(places))}, batch {report.batch}, {report.models[0].runs} runs of each in "
        f"{report.rounds} rounds, threads {report.threads or 'as the runtime chooses'}; "
        f"{machine.cpu}, {machine.cores} cores, {versions}"
    )
    _say_doubts(report)


def _short(model: str) -> str:
    """The run's folder stands for its model.onnx: eight columns have to fit into a terminal."""
    return model.removesuffix("/model.onnx")


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _times_first(row: "ModelLatency") -> str:
    low, high = row.times_first_interval or (1.0, 1.0)
    if low == high:  # too few rounds, or the first model itself
        return f"{row.times_first:.2f}"
    return f"{row.times_first:.2f} ({low:.2f}-{high:.2f})"


def _say_doubts(report: "LatencyReport") -> None:
    """Say what makes the numbers weaker than they look."""
    from capsedge.cli.console import say
    from capsedge.runtime.percentiles import FEWEST_SAMPLES

    runs = report.models[0].runs
    lacking = {percent: fewest for percent, fewest in FEWEST_SAMPLES.items() if runs < fewest}
    if lacking:
        percentiles = ", ".join(f"p{percent} needs {fewest} runs" for percent, fewest in lacking.items())
        say(f"note: {percentiles}; {runs} were made (see --runs)")
    load = report.machine.load_average
    if load is not None and load > 0.25 * report.machine.cores:
        say(f"note: the machine was busy (load average {load:.2f} on {report.machine.cores} cores): measure again")
