"""The tables of `capsedge reproduce`: Table II beside the published figures, and the numbers of a figure."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from capsedge.cli.console import print_json, say
from capsedge.cli.tables import Column, print_table
from capsedge.plural import number_of
from capsedge.reproduce.cases import in_words

if TYPE_CHECKING:
    from capsedge.reproduce.figures import Content
    from capsedge.reproduce.results import Table2, TableRow
    from capsedge.reproduce.trainings import TrainingSettings


def show_figure(content: "Content", png: Path, *, as_json: bool) -> None:
    """Print a figure's numbers and its path."""
    from capsedge.reproduce.figures import rows  # these two need torch
    from capsedge.reproduce.step_times import Fig4

    header, lines = rows(content)
    if as_json:
        print_json(content)
    else:
        print_table(
            [
                Column(title, cells, numeric=number > 0)
                for number, (title, *cells) in enumerate(zip(header, *lines, strict=True))
            ]
        )
    if not as_json and any("±" in cell for line in lines for cell in line):
        say("± is the standard deviation over the seeds")
    for warning in content.warnings if isinstance(content, Fig4) else ():
        say(f"note: {warning.text}")
    say(f"wrote {png}, drawn from {png.with_suffix('.json')}")


def say_row(row: "TableRow", settings: "TrainingSettings", *, silent: bool) -> None:
    """Print a row's test error after one of its trainings."""
    if not silent:
        of = f"{len(row.errors)} of {number_of(len(settings.seeds), 'seed')}"
        of += "" if row.error is None or row.error.spread is None else "; ± is their standard deviation"
        say(f"{row.name}: test error {_measured(row)} %, {of}")


def print_table2(table: "Table2") -> None:
    """Print the whole table and its footnotes."""
    names = [row.data for row in table.rows]
    print_table(
        [
            Column("data", [name if name != last else "" for name, last in zip(names, ["", *names], strict=False)]),
            Column("method", [row.method for row in table.rows]),
            Column("published %", [_published(row) for row in table.rows], numeric=True),
            Column("measured %", [_measured(row) for row in table.rows], numeric=True),
            Column("seeds", [str(len(row.errors) or "") for row in table.rows], numeric=True, optional=1),
            Column("epochs", [_epochs(row) for row in table.rows], numeric=True),
        ]
    )
    for line in _footnotes(table):
        say(line)


def _published(row: "TableRow") -> str:
    return "-" if row.published_percent is None else f"{row.published_percent:.2f}{'*' if row.note else ''}"


def _measured(row: "TableRow") -> str:
    if row.error is None:
        return row.status
    spread = "" if row.error.spread is None else f" ± {100 * row.error.spread:.2f}"
    return f"{100 * row.error.mean:.2f}{spread}"


def _epochs(row: "TableRow") -> str:
    return f"{row.epochs} of {row.recipe_epochs}" if row.shortened else str(row.epochs or "")


def _footnotes(table: "Table2") -> Iterator[str]:
    """Notes for a comparison of the two columns."""
    measured = [row for row in table.rows if row.error is not None]
    size = in_words(table.width, changes=table.changes)
    yield f"test error; measured: mean of the seeds ± their standard deviation, {size}"
    if table.width == "small" and any(row.published_percent is not None for row in measured):
        yield "the published errors are of networks of Table I's width: --width table1"
    for row in measured[:1]:
        yield f"standard error of one test error, such as that of {row.name}: {100 * (row.standard_error or 0):.2f}"
    if any(row.shortened for row in measured):
        yield "shortened: 'n of m' epochs is fewer than the m of the recipe (--epochs)"
    yield from (f"* {note}" for note in dict.fromkeys(row.note for row in table.rows if row.note))
    yield from (f"data: {description}" for description in table.data)
    yield from (f"no data: {reason}" for reason in table.missing)
