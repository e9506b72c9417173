"""Tables that fit the terminal: cells fold between words, columns that are left out are named, no number is cut."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from capsedge.outside import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    Cell = str | Text

NARROW = 72  # characters of a terminal, below which a table of sentences becomes a list
_LONGEST_WHOLE = 16  # characters of a word that is kept in one piece where there is room for nothing else


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        cells: One a row. A line break in a cell becomes a space where the column is wide enough.
        numeric: Aligned to the right; its cells break at their line breaks only.
        optional: Columns with the highest number are left out first where there is no room; 0 is never left out.
        most: Width at which its cells fold even where there is room; 0 for none.
    """

    title: str
    cells: "Sequence[Cell]"
    numeric: bool = False
    optional: int = 0
    most: int = 0


class Row(NamedTuple):
    """A line of a description.

    Attributes:
        name: What it is about.
        value: What there is to say.
        style: Of rich.
    """

    name: str
    value: str
    style: str = ""


def print_table(
    columns: Sequence[Column], *, title: str = "", foot: int = 0, console: "Console | None" = None
) -> None:
    """Print a table, or nothing where it has no rows.

    Args:
        columns: From left to right.
        title: A heading above it.
        foot: How many of the last rows stand apart, such as sums.
        console: Where to; None is stdout.
    """
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    console = console or out
    columns = [_safe(column) for column in columns]  # before widths are measured
    room = console.width - 1  # beside the indent
    shown, widths = fitted(columns, room)
    rows = [*zip(*(_folded(column, width) for column, width in zip(shown, widths, strict=True)), strict=True)]
    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _gap(room) - 1, 0, 0))
    for column, width in zip(shown, widths, strict=True):
        table.add_column(
            Text(column.title), justify="right" if column.numeric else "left", width=width, overflow="fold"
        )
    for number, row in enumerate(rows, 1):
        table.add_row(*row, style="dim" if number > len(rows) - foot else "", end_section=number == len(rows) - foot)
    if title:
        console.print(Text(title, "bold"))
    console.print(Padding(table, (0, 0, 0, 1), expand=False))
    if left_out := [column.title for column in columns if column not in shown]:
        console.print(Text(f" not shown in {console.width} columns: {', '.join(left_out)}", "dim"))


def print_rows(title: str, rows: "Iterable[Row | tuple[str, str]]") -> None:
    """Print a heading, and below it a name and a value on each line."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=13)
    table.add_column(overflow="fold")
    for row in (Row(*each) for each in rows):
        table.add_row(Text(printable(row.name)), Text(printable(row.value), row.style))
    out.print(Text(title, "bold"))
    out.print(Padding(table, (0, 0, 0, 1), expand=False))


def _safe(column: Column) -> Column:
    cells = [printable(cell) if isinstance(cell, str) else cell for cell in column.cells]
    return column._replace(title=printable(column.title), cells=cells)


def fitted(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that fit into so many characters, and the width of each.

    rich alone would fold the widest column first, also within a word, and cut numbers.
    """
    shown = list(columns)
    while _total(map(_least, shown), width) > width and (most := max((each.optional for each in shown), default=0)):
        shown.remove(next(each for each in reversed(shown) if each.optional == most))
    found = [_natural(each) for each in shown]
    least = [_least(each) for each in shown]
    if _total(least, width) > width:
        least = [
            each if column.numeric else min(each, _LONGEST_WHOLE) for column, each in zip(shown, least, strict=True)
        ]
    for _ in range(_total(found, width) - width):
        widest = max(range(len(found)), key=lambda each: found[each] - least[each])
        found[widest] -= found[widest] > least[widest]
    return shown, found


def _gap(width: int) -> int:
    """Characters between two columns in a terminal of so many."""
    return 2 if width >= NARROW else 1


def _total(widths: Iterable[int], width: int) -> int:
    each = list(widths)
    return sum(each) + _gap(width) * len(each)


def _natural(column: Column) -> int:
    """The width in which no cell folds, or the most that the column may have."""
    from rich.cells import cell_len

    width = max(cell_len(str(each).replace("\n", " ")) for each in (column.title, *column.cells))
    return min(width, max(column.most, _least(column))) if column.most else width


def _least(column: Column) -> int:
    """The width in which cells fold between words only, and those of numbers at their line breaks only."""
    from rich.cells import cell_len

    if not column.numeric:
        return longest_word([column.title, *map(str, column.cells)])
    lines = [line for cell in column.cells for line in str(cell).split("\n")]
    return max(longest_word([column.title]), *map(cell_len, lines), 1)


def longest_word(texts: Iterable[str]) -> int:
    """The width that a column needs so that its cells fold between words only."""
    from rich.cells import cell_len

    return max((cell_len(word) for text in texts for word in text.split()), default=1)


def _folded(column: Column, width: int) -> "Iterable[Text]":
    """The cells of a column, on one line each where they fit."""
    from rich.cells import cell_len
    from rich.text import Text

    for cell in column.cells:
        if isinstance(cell, str):
            line = cell.replace("\n", " ")
            yield Text(line if cell_len(line) <= width else cell)
        else:
            yield cell
