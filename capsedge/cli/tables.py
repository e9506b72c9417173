"""Tables that fit the terminal: cells wrap between words, omitted columns are named, and no number is cut."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from capsedge.outside import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    Cell = str | Text

NARROW = 72  # terminal width below which a table of sentences becomes a list
_LONGEST_WHOLE = 16  # longest word, in characters, that is not split in a terminal too narrow for all words


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        cells: One per row. A line break in a cell becomes a space where the column is wide enough.
        numeric: Align to the right, and wrap cells at their line breaks only.
        optional: Priority of omission in a narrow terminal: the highest number goes first, 0 is never omitted.
        most: Largest width, at which cells wrap; 0 for no limit.
    """

    title: str
    cells: "Sequence[Cell]"
    numeric: bool = False
    optional: int = 0
    most: int = 0


class Row(NamedTuple):
    """A name and a value on one line.

    Attributes:
        name: Text on the left.
        value: Text on the right.
        style: rich style of the value.
        whole: Never wrap the value, such as a path that is to be copied.
    """

    name: str
    value: str
    style: str = ""
    whole: bool = False


def print_table(
    columns: Sequence[Column], *, title: str = "", foot: int = 0, console: "Console | None" = None
) -> None:
    """Print a table, or nothing where it has no rows.

    Args:
        columns: From left to right.
        title: A heading above it.
        foot: Number of rows at the end that are set apart, such as sums.
        console: Console to print on; None is stdout.
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
    from itertools import groupby

    from rich.cells import cell_len
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    shown = [Row(printable(row.name), printable(row.value), *row[2:]) for row in (Row(*each) for each in rows)]
    width = max((13, *(cell_len(row.name) for row in shown)))
    out.print(Text(title, "bold"))
    for whole, some in groupby(shown, lambda row: row.whole):
        if whole:  # the terminal wraps these, not the table
            for row in some:
                name = row.name + " " * (width - cell_len(row.name))
                out.print(Text(f" {name}  ") + Text(row.value, row.style), soft_wrap=True)
            continue
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, min_width=width)
        table.add_column(overflow="fold")
        for row in some:
            table.add_row(Text(row.name), Text(row.value, row.style))
        out.print(Padding(table, (0, 0, 0, 1), expand=False))


def _safe(column: Column) -> Column:
    cells = [printable(cell) if isinstance(cell, str) else cell for cell in column.cells]
    return column._replace(title=printable(column.title), cells=cells)


def fitted(columns: Sequence[Column], width: int) -> tuple[list[Column], list[int]]:
    """The columns that fit into `width` characters, and the width of each.

    rich alone would wrap the widest column first, also within a word, and cut numbers.
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
    """Characters between two columns in a terminal of this width."""
    return 2 if width >= NARROW else 1


def _total(widths: Iterable[int], width: int) -> int:
    each = list(widths)
    return sum(each) + _gap(width) * len(each)


def _natural(column: Column) -> int:
    """The width at which no cell wraps, or the column's largest width."""
    from rich.cells import cell_len

    width = max(cell_len(str(each).replace("\n", " ")) for each in (column.title, *column.cells))
    return min(width, max(column.most, _least(column))) if column.most else width


def _least(column: Column) -> int:
    """The smallest width at which cells wrap between words only, and numeric cells at their line breaks only."""
    from rich.cells import cell_len

    if not column.numeric:
        return longest_word([column.title, *map(str, column.cells)])
    lines = [line for cell in column.cells for line in str(cell).split("\n")]
    return max(longest_word([column.title]), *map(cell_len, lines), 1)


def longest_word(texts: Iterable[str]) -> int:
    """The smallest width of a column whose cells wrap between words only."""
    from rich.cells import cell_len

    return max((cell_len(word) for text in texts for word in text.split()), default=1)


def _folded(column: Column, width: int) -> "Iterable[Text]":
    """The cells of a column, each on one line where it fits."""
    from rich.cells import cell_len
    from rich.text import Text

    for cell in column.cells:
        if isinstance(cell, str):
            line = cell.replace("\n", " ")
            yield Text(line if cell_len(line) <= width else cell)
        else:
            yield cell
