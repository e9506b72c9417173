"""`capsedge compress`: prunes a network to a share of its multiply-accumulates, a latency or an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import to_builtins

from capsedge.cli.options import DeviceOption, JsonOption, finite
from capsedge.cli.runs import chosen_run
from capsedge.cli.threads import ThreadsOption, note_load
from capsedge.errors import Interrupted, WrongUse

if TYPE_CHECKING:
    from capsedge.compress import Target
    from capsedge.compress.rounds import Tell, Watch
    from capsedge.training import Observer

EXAMPLES = """
[bold]Examples[/bold]

capsedge compress --keep 0.5

capsedge compress runs/fashion-mnist-l2-small --max-latency-ms 0.1 --precision int8

capsedge compress --max-error-increase 0.3 --epochs 5

capsedge compress --keep 0.3 --by magnitude --rounds 3 --output runs/by-magnitude
"""


def compress(
    run: Annotated[
        Path | None,
        typer.Argument(
            help="A run's folder.  [dim]\\[default: the newest finished run in runs/][/dim]", show_default=False
        ),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            metavar="SHARE",
            help="Target: at most this share of the multiply-accumulates (MACs), such as 0.5.",
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            metavar="MS",
            help="Target: median latency of the exported file for one image, on this machine with one thread.",
        ),
    ] = None,
    max_error_increase: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            callback=finite,
            metavar="POINTS",
            help="Target: the smallest network whose validation error rises by at most this many percentage points.",
        ),
    ] = None,
    by: Annotated[
        Literal["routing", "magnitude", "random"],
        typer.Option(
            help="What to prune first: the channels that contribute least to the class capsules, those with the "
            "smallest weights, or random ones (as a baseline)."
        ),
    ] = "routing",
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rounds of pruning and fine-tuning; with --max-error-increase, networks to try.  "
            "[dim]\\[default: 2, or 6][/dim]",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of fine-tuning in each round.")] = 3,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9,
            callback=finite,
            help="Peak learning rate of fine-tuning.  [dim]\\[default: half of the run's][/dim]",
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        Literal["fp32", "int8"], typer.Option(help="Precision of the file whose latency is measured.")
    ] = "fp32",
    multiple: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Keep a multiple of N channels in each layer; ONNX Runtime is slower with other numbers.",
        ),
    ] = 8,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a train.* or routing.* value for fine-tuning; repeat for more. The last value of a key "
            "counts.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the new run.  [dim]\\[default: runs/RECIPE-compressed][/dim]"),
    ] = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Prune the capsule types and channels that contribute least, and fine-tune the rest."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.cli.screens.compress import say_notes, show_compression
    from capsedge.compress.overrides import check_overrides
    from capsedge.errors import require
    from capsedge.files import check_folder
    from capsedge.run_record import RUNS

    _check_target(keep, max_latency_ms, max_error_increase)
    check_overrides(set_ or ())
    check_folder(RUNS if output is None else output)
    chosen = chosen_run(run, ["finished"])
    require("onnxscript", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.compress import Options
    from capsedge.compress import compress as compress_run

    target = _target(keep, max_latency_ms, max_error_increase)
    say(f"run: {chosen.path}, trained on {chosen.read_record().data}")
    options = Options(
        by=by,
        rounds=rounds,
        epochs=epochs,
        learning_rate=learning_rate,
        precision=precision,
        multiple=multiple,
        overrides=set_ or (),
        device=device,
        threads=threads,
    )
    note_load(device, threads)
    try:
        with _live(silent=as_json) as (watch, tell):
            made, record = compress_run(chosen, target, options, output, watch=watch, tell=tell)
    except KeyboardInterrupt:
        raise Interrupted("interrupted: no run was written") from None
    if as_json:
        print_json({"run": str(made.path), **to_builtins(record)})
    else:
        show_compression(record)
    say_notes(record)
    say(f"compressed run: {made.path}")
    next_command("capsedge", "export", str(made.path), *(("--precision", precision) if precision != "fp32" else ()))


def _check_target(keep: float | None, max_latency_ms: float | None, max_error_increase: float | None) -> None:
    given = [each for each in (keep, max_latency_ms, max_error_increase) if each is not None]
    if len(given) != 1:
        raise WrongUse(
            f"expected one target, got {len(given)}",
            "give --keep SHARE, --max-latency-ms MS or --max-error-increase POINTS",
        )
    for name, value in (("--keep", keep), ("--max-latency-ms", max_latency_ms)):
        if value == 0:
            raise WrongUse(f"{name}: expected a number above 0, got 0")


def _target(keep: float | None, max_latency_ms: float | None, max_error_increase: float | None) -> "Target":
    """The library's target; one is given (`_check_target`)."""
    from capsedge.compress import Keep, MaxErrorIncrease, MaxLatency

    if keep is not None:
        return Keep(keep)
    if max_latency_ms is not None:
        return MaxLatency(max_latency_ms)
    assert max_error_increase is not None
    return MaxErrorIncrease(max_error_increase / 100)


@contextmanager
def _live(*, silent: bool) -> "Iterator[tuple[Watch, Tell]]":
    """Show the progress bar of fine-tuning, or the current step; a terminal draws one of them at a time."""
    from rich.markup import escape

    from capsedge.cli.console import err, say
    from capsedge.cli.progress import TrainingProgress

    status = err.status("")

    def tell(text: str) -> None:
        status.update(escape(text))
        status.start()

    @contextmanager
    def watch(title: str) -> "Iterator[Observer]":
        status.stop()
        if not silent:
            say(title)
        with TrainingProgress(silent=silent) as progress:
            yield progress

    try:
        yield watch, tell
    finally:
        status.stop()
