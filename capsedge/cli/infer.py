"""`capsedge infer`: classes for image files and folders."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, ProviderOption, ThreadsOption
from capsedge.errors import DataError

if TYPE_CHECKING:
    from capsedge.runtime.classify import Broken, Prediction

EXAMPLES = """
[bold]Examples[/bold]

capsedge infer shoe.png

capsedge infer photos/ --model runs/my-run --top 3

capsedge infer photos/ --json | jq 'select(.length < 0.5)'
"""


def infer(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Image files, folders (at any depth), or - for standard input."),
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="An .onnx or .engine file, a run's folder, or a built-in model's name."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many classes to name.  [dim]\\[default: the answer and the next][/dim]",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images that run at once.")] = 32,
    provider: ProviderOption = None,
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Say what is on images: the class (two, if they overlap), how strongly it is present, and what comes next."""
    from capsedge.cli.console import err, next_command, out, print_json, say
    from capsedge.runtime.classify import Broken, Prediction, classify, find_images
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session

    files = find_images(images)
    with open_session(find_model(model), provider=provider, threads=threads) as session:
        say(f"model: {session.name}")
        answers: Iterable[Prediction | Broken] = classify(session, files, batch=batch, top=top)
        if len(files) > 1 and err.is_terminal and not (as_json and out.is_terminal):
            answers = _with_progress(answers, len(files))
        if as_json:
            broken = 0
            for answer in answers:
                print_json(answer)
                broken += isinstance(answer, Broken)
        else:
            broken = _print_table(answers, alone=len(files) == 1)
    if broken:
        done = "; the others are done" if broken < len(files) else ""
        raise DataError(f"{broken} of {len(files)} images could not be read{done}")
    if not as_json:
        next_command("capsedge", "bench", *([model] if model is not None else []))


def _with_progress(answers: "Iterable[Prediction | Broken]", count: int) -> "Iterator[Prediction | Broken]":
    from rich.progress import Progress

    from capsedge.cli.console import err

    # Rich would send what is printed to stdout meanwhile, which is the answers, to the bar's console: to stderr.
    with Progress(console=err, transient=True, redirect_stdout=False) as bar:
        yield from bar.track(answers, total=count, description="classifying")


def _print_table(answers: "Iterable[Prediction | Broken]", *, alone: bool) -> int:
    """Print the predictions as a table and say the failures; gives the number of failures.

    Raises:
        DataError: The only image could not be read: its reason is the command's one line.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out, say
    from capsedge.runtime.classify import Broken

    table = Table(box=box.SIMPLE)
    for column in ("file", "class", "length", "next best"):
        table.add_column(column, overflow="fold")
    broken = 0
    for answer in answers:
        if isinstance(answer, Broken):
            if alone:
                raise DataError(answer.error)
            broken += 1
            say(" ".join(answer.error.split()))
            continue
        others = ", ".join(f"{guess.class_name} {guess.length:.3f}" for guess in answer.next_best)
        # Text, because a bracket in a file's name is no markup.
        names = ", ".join(guess.class_name for guess in answer.answer)
        lengths = ", ".join(f"{guess.length:.3f}" for guess in answer.answer)
        table.add_row(Text(answer.path), Text(names), lengths, Text(others))
    if table.row_count:
        out.print(table)
    return broken
