"""`capsedge compress`: a smaller network of a run, to a share of its multiply-accumulates, a latency or an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import to_builtins

from capsedge.cli.options import finite
from capsedge.errors import WrongUse

if TYPE_CHECKING:
    from capsedge.compress import Compression, Target
    from capsedge.compress.rounds import Tell, Watch
    from capsedge.statistics import Difference
    from capsedge.training import Observer

_ON_ONE_LINE = 84  # columns of a terminal that has the interval of a change beside it, and not below
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
        typer.Argument(help="The run's folder.  [dim]\\[default: the newest finished run][/dim]", show_default=False),
    ] = None,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            metavar="SHARE",
            help="Keep at most this share of the multiply-accumulates (MACs): 0.5 for half.",
        ),
    ] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            metavar="MS",
            help="Median latency of the exported file, one image, measured on this machine with one thread.",
        ),
    ] = None,
    max_error_increase: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            callback=finite,
            metavar="POINTS",
            help="Search the smallest network whose validation error is larger by at most so many points.",
        ),
    ] = None,
    by: Annotated[
        Literal["routing", "magnitude", "random"],
        typer.Option(
            help="What is dropped first: what contributes least to the class capsules, what has the smallest "
            "weights, or anything (for comparison)."
        ),
    ] = "routing",
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Rounds of dropping and fine-tuning, or networks that the search for the smallest tries.  "
            "[dim]\\[default: 2, or 6][/dim]",
            show_default=False,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of each fine-tuning.")] = 3,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1e-9,
            callback=finite,
            help="Highest rate of the fine-tuning.  [dim]\\[default: half of the run's][/dim]",
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
            help="Leave a multiple of N channels in each layer: ONNX Runtime is slower with other numbers.",
        ),
    ] = 8,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a train.* or routing.* value of the fine-tuning; repeat for more.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The folder of the new run.  [dim]\\[default: runs/NAME-compressed][/dim]"
        ),
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="Device that trains.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Drop the capsule types and channels of a run that contribute least, and fine-tune what is left."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.errors import require

    require("torch", extra="train")
    require("onnxscript", extra="export")
    require("onnxruntime", extra="cpu")
    from capsedge.compress import Options
    from capsedge.compress import compress as made_smaller
    from capsedge.training import Run, newest_run

    target = _target(keep, max_latency_ms, max_error_increase)
    chosen = Run(run) if run is not None else newest_run(status=["finished"])
    say(f"run: {chosen.path}, trained on {chosen.read_record().data}")
    options = Options(
        by=by,
        rounds=rounds,
        epochs=epochs,
        learning_rate=rate,
        precision=precision,
        multiple=multiple,
        overrides=set_ or (),
        device=device,
    )
    with _live(silent=as_json) as (watch, tell):
        made, record = made_smaller(chosen, target, options, output, watch=watch, tell=tell)
    if as_json:
        print_json({"run": str(made.path), **to_builtins(record)})
    else:
        _show(record)
    for note in _notes(record):
        say(f"note: {note}")
    say(f"the compressed run is in {made.path}")
    next_command("capsedge", "export", str(made.path), *(("--precision", precision) if precision != "fp32" else ()))


def _target(keep: float | None, max_latency_ms: float | None, max_error_increase: float | None) -> "Target":
    from capsedge.compress import Keep, MaxErrorIncrease, MaxLatency

    given: list[Target] = []
    if keep is not None:
        given.append(Keep(keep))
    if max_latency_ms is not None:
        given.append(MaxLatency(max_latency_ms))
    if max_error_increase is not None:
        given.append(MaxErrorIncrease(max_error_increase / 100))
    if len(given) != 1:
        raise WrongUse(
            "compress wants one target, --keep SHARE, --max-latency-ms MS or --max-error-increase POINTS, and was "
            f"given {len(given)}"
        )
    for name, value in (("--keep", keep), ("--max-latency-ms", max_latency_ms)):
        if value == 0:
            raise WrongUse(f"{name} must be more than 0: nothing would be left")
    return given[0]


@contextmanager
def _live(*, silent: bool) -> "Iterator[tuple[Watch, Tell]]":
    """The bar of a fine-tuning, or a line on what is done meanwhile: a terminal draws one of them at a time."""
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


def _show(record: "Compression") -> None:
    """The rounds, and the network before and after."""
    from rich.table import Table

    from capsedge.cli.console import out, percent

    before, after, ratio = record.before, record.after, record.latency_ratio
    interval = "" if ratio.low is None else f" ({ratio.low:.2f} to {ratio.high:.2f})"
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("", "before", "after", "change (95 %)"):
        table.add_column(title, justify="right" if title else "left", no_wrap=bool(title))
    for name, was, now in (
        ("parameters", before.parameters, after.parameters),
        ("MACs of one image", before.macs, after.macs),
    ):
        table.add_row(name, f"{was:,}", f"{now:,}", f"x {now / was:.2f}")
    latency = f"latency, {record.precision}, 1 thread"
    between = " " if out.width >= _ON_ONE_LINE else "\n"
    change = f"x {ratio.value:.2f}{interval}".replace(" (", f"{between}(")
    table.add_row(latency, *(f"{each.latency_ms:.3f} ms" for each in (before, after)), change)
    table.add_row(
        "validation error",
        percent(before.validation_error),
        percent(after.validation_error),
        _points(record.change, between),
    )
    table.add_row("test error", percent(before.test_error), percent(after.test_error))
    for number, each in enumerate(record.rounds, 1):
        widths = ", ".join(f"{name} {count}" for name, count in each.counts.items())
        change = f"validation error {_points(each.change)}{'' if each.taken else ', too much'}"
        out.print(f"{number}: {100 * each.macs_share:.0f} % of the MACs, {change}: {widths}", soft_wrap=True)
    out.print(table)


def _notes(record: "Compression") -> "Iterator[str]":
    limit, found = record.target.get("max_latency_ms"), record.after.latency_ms
    if limit is not None and found > limit:
        yield f"measured again at the end, the latency is {found:.3f} ms, above the {limit:g} ms asked for"
    yield from record.warnings


def _points(change: "Difference", between: str = " ") -> str:
    """A change of an error in points of a percent, with its interval."""
    return f"{100 * change.mean:+.2f}{between}({100 * change.low:+.2f} to {100 * change.high:+.2f}) points"
