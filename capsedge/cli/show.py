"""`capsedge show`: shows the state and the results of a run, in the terminal or as a page."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import JsonOption
from capsedge.cli.runs import chosen_run, say_after_training
from capsedge.plural import number_of, quoted

if TYPE_CHECKING:
    from capsedge.training import Run, RunRecord

EXAMPLES = """
[bold]Examples[/bold]

capsedge show

capsedge show runs/my-run --html run.html

capsedge show runs/my-run --json | jq .scores
"""

_POINTS = 8  # epochs of the printed curve


def show(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run's folder.  [dim]\\[default: the newest run in runs/][/dim]", show_default=False),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Write a page with the curve, scores, recipe, training images, and the errors of the export.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a run's data, validation curve, scores and exports, and advice on what to improve."""
    from capsedge.cli.console import print_json, say
    from capsedge.files import check_output, page_mark

    if html is not None:
        check_output(html, ".html", mark=page_mark("show"), command="show --html")
    chosen = chosen_run(run, ["finished", "training"])
    record = chosen.read_record()
    trained_by = chosen.trained_by() if record.status == "training" else ""
    if as_json:
        print_json(_as_json(chosen, record, trained_by))
    else:
        _print(chosen, record, trained_by)
    if html is not None:
        from capsedge.export.run_page import run_page
        from capsedge.files import write_atomically

        write_atomically(html, run_page(chosen))
        say(f"wrote {html}")
    if not as_json:
        _say_next(chosen, record, trained_by)


def _say_next(run: "Run", record: "RunRecord", trained_by: str | None) -> None:
    """Print the next command for a run in its state."""
    from capsedge.cli.console import example_image, next_command, say
    from capsedge.runtime.models import exports_in

    folder = str(run.path)
    exports = exports_in(run.path)
    if trained_by:
        again = shlex.join(["capsedge", "show", folder])
        say(f"next: wait until {trained_by} has trained the run; {again} shows it then")
    elif trained_by is None:
        say(f"note: whether a process trains the run cannot be told: '{run.path / '.lock'}' cannot be locked")
    elif record.status == "training":
        next_command("capsedge", "train", "--resume", "--run", folder)
    elif record.warnings:
        say_after_training(run, record)
    elif exports and not _older(run):
        overlap = run.read_recipe().data.overlap  # images that show two classes have no confusion to evaluate
        seen = ("infer", "--model", folder, example_image("")) if overlap else ("eval", folder)
        next_command("capsedge", *seen)
    elif exports:  # older than the network
        next_command("capsedge", "export", folder)
    else:
        say_after_training(run, record)


def _older(run: "Run") -> list[str]:
    """The names of exports that are older than the run's best network."""
    from capsedge.runtime.models import exports_in

    best = run.best.stat().st_mtime_ns if run.best.exists() else 0
    return [file.name for file in exports_in(run.path) if file.stat().st_mtime_ns < best]


def _as_json(run: "Run", record: "RunRecord", trained_by: str | None) -> dict[str, Any]:
    """What the text shows, for programs: the record, with facts of the recipe, the curve and the exports."""
    from msgspec import to_builtins

    from capsedge.runtime.models import exports_in

    recipe = run.read_recipe()
    older = _older(run)
    return {
        **to_builtins(record),
        "run": str(run.path),
        "trained_by": trained_by,
        "seconds": record.seconds if record.status == "finished" else None,  # the record gets them at the end
        "recipe": recipe.name,
        "epochs": recipe.train.epochs,
        "batch_size": recipe.train.batch_size,
        "precision": recipe.train.precision,
        "curve": [{key: row[key] for key in ("epoch", "step", "loss", "error")} for row in _validated(run)],
        "exports": [{"file": str(file), "older": file.name in older} for file in exports_in(run.path)],
    }


def _validated(run: "Run") -> list[dict[str, Any]]:
    """The rows of the metrics file that are validations."""
    from capsedge.training.metrics import read_metrics

    rows = read_metrics(run.metrics) if run.metrics.exists() else []
    return [row for row in rows if row["kind"] == "validation"]


def _print(run: "Run", record: "RunRecord", trained_by: str | None) -> None:
    from capsedge.cli.console import out, percent
    from capsedge.runtime.models import exports_in
    from capsedge.training.run import status_in_words

    def line(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    recipe = run.read_recipe()
    status = status_in_words(record, trained_by) + (f" now by {trained_by}" if trained_by else "")
    line(f"run:    {run.path}, {status}, on {record.device} in {recipe.train.precision}")
    line(f"recipe: {recipe.name}, {number_of(recipe.train.epochs, 'epoch')}, batches of {recipe.train.batch_size}")
    line(f"data:   {record.data}")
    if validated := _validated(run):
        line(f"curve:  {_curve(validated)}")
    for score in record.scores:
        line(f"{score.split} error: {percent(score.error)} on {number_of(score.images, 'image')}")
    if record.balanced is not None:
        line(f"balanced test error: {percent(record.balanced)}, the mean over the classes")
    if record.best_epoch:
        line(f"kept: epoch {record.best_epoch}")
    for warning in record.warnings:
        line(f"warning: {warning.text}")
    for remark in record.remarks:
        line(f"advice: {remark.text}")
    if exports := exports_in(run.path):
        line(f"exported: {', '.join(file.name for file in exports)}")
        if older := _older(run):
            line(f"note: older than the run's best network; export the run again: {quoted(older)}")


def _curve(validated: Sequence[dict[str, Any]]) -> str:
    """The validation error after a few evenly spaced epochs, including the last."""
    count = min(_POINTS, len(validated))
    chosen = [validated[(place + 1) * len(validated) // count - 1] for place in range(count)]
    return (
        ", ".join(f"{100 * row['error']:.1f} % ({row['epoch']})" for row in chosen)
        + " of the validation images (epoch)"
    )
