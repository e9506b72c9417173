"""The predictions of `capsedge infer` as text: a row each, printed as they arrive, and a summary of many."""

import sys
from collections import Counter
from typing import TYPE_CHECKING

from capsedge.outside import one_line

if TYPE_CHECKING:
    from capsedge.runtime.infer.classify import Broken, Prediction

_MOST_WIDTH = 60
_SUMMARY_FROM = 20
_MOST_NAMED = 10
_WARN_FROM = 2
UNLIKE = "unlike the training images"

Row = tuple[str, str, str, str, str]
_COLUMNS: Row = ("file", "class", "length", "next best", "")  # the last has marks, in brackets


class Table:
    """A table that buffers one page of rows; its columns may widen from page to page and never narrow.

    Args:
        page: Number of rows that are printed together.
    """

    def __init__(self, page: int) -> None:
        self._page = page
        self._rows: list[Row] = []
        self._widths = [len(column) for column in _COLUMNS]
        self._begun = False

    def add(self, prediction: "Prediction") -> None:
        """Add a row, and print the page once it is full."""
        self._rows.append(_row(prediction))
        if len(self._rows) >= self._page:
            self.flush()

    def flush(self) -> None:
        """Print the buffered rows."""
        if not self._rows:
            return
        for column, width in enumerate(self._widths):
            longest = max(len(row[column]) for row in self._rows)
            self._widths[column] = max(width, min(longest, _MOST_WIDTH))
        width = sum(width + 2 for width in self._widths if width)
        columns = _columns_of_terminal() or width
        folded = width > columns
        lines: list[str] = []
        if not self._begun:
            self._begun = True
            lines = [self._line(_COLUMNS, folded=folded), _rule(min(width, columns))]
        lines += (self._line(row, folded=folded) for row in self._rows)
        self._rows.clear()
        sys.stdout.write("\n".join(lines) + "\n")  # in one write: a progress bar is redrawn after each
        sys.stdout.flush()

    def _line(self, row: Row, *, folded: bool) -> str:
        """A row as text; folded, the file is on a separate line, for long paths in a narrow terminal."""
        cells = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=True)]
        if folded:
            return f"  {row[0]}\n" + "  ".join(["  ", *cells[1:]]).rstrip()
        return "  ".join(["", *cells]).rstrip()


class Tally:
    """Counts of many predictions; several classes of one image are counted as one answer, `Coat + Bag`."""

    def __init__(self) -> None:
        from capsedge.data.images import Exchanges

        self.images = self.broken = self.unlike = 0
        self.exchanges = Exchanges()
        self.classes: Counter[str] = Counter()

    def add(self, answer: "Prediction | Broken") -> None:
        """Count an image."""
        from capsedge.runtime.infer.classify import Broken

        self.images += 1
        if isinstance(answer, Broken):
            self.broken += 1
        else:
            self.exchanges.add(answer.path, turned=answer.inverted)
            self.unlike += answer.unlike
            self.classes[_names(answer, " + ") or "no class"] += 1

    def summary(self) -> str:
        """One line for many images, "" for few."""
        if self.images <= _SUMMARY_FROM:
            return ""
        most = self.classes.most_common(_MOST_NAMED)
        others = self.classes.total() - sum(count for _, count in most)
        parts = [f"{name} {count:,}" for name, count in [*most, *([("others", others)] if others else [])]]
        parts += [
            f"{count:,} {what}"
            for what, count in (("inverted", self.exchanges.made), (UNLIKE, self.unlike), ("broken", self.broken))
            if count
        ]
        return f"{self.images:,} images: {', '.join(parts)}"

    @property
    def unreliable(self) -> bool:
        """Whether at least half of the images are unlike the training images."""
        return 0 < self.images - self.broken <= 2 * self.unlike

    def warning(self) -> str:
        """One line if the answers for several images are unreliable, else ""."""
        seen = self.images - self.broken
        if seen < _WARN_FROM or not self.unreliable:
            return ""
        return (
            f"{self.unlike:,} of {seen:,} images are {UNLIKE}, so these answers are unreliable: train on such "
            "images, or check how they are framed (docs/images.md)"
        )


def _row(prediction: "Prediction") -> Row:
    answer = prediction.answer
    lengths = ", ".join(f"{guess.length:.3f}" for guess in answer) or "-"
    others = ", ".join(f"{guess.class_name} {guess.length:.3f}" for guess in prediction.next_best)
    marks = [mark for mark, set_ in (("inverted", prediction.inverted), (UNLIKE, prediction.unlike)) if set_]
    told = f"({', '.join(marks)})" if marks else ""
    return one_line(prediction.path), one_line(_names(prediction) or "-"), lengths, one_line(others), told


def _names(prediction: "Prediction", between: str = ", ") -> str:
    return between.join(guess.class_name for guess in prediction.answer)


def _columns_of_terminal() -> int | None:
    """Width of the terminal; None for a file or a pipe, which have no limit."""
    if not sys.stdout.isatty():
        return None
    from shutil import get_terminal_size

    return get_terminal_size().columns


def _rule(width: int) -> str:
    """A line below the header."""
    try:
        "─".encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return "-" * width
    return "─" * width
