"""A progress bar that fits into its terminal."""

from collections.abc import Iterable, Sequence
from typing import Any

from rich.progress import BarColumn, Progress, ProgressColumn, Task
from rich.table import Table

_WIDEST = 40
_NARROWEST = 8  # a shorter bar shows nothing


class FittingProgress(Progress):
    """A progress in one line, of which a narrow terminal shows the most useful columns whole.

    rich cuts the line at its end, where the remaining time stands.

    Attributes:
        given: All columns.
        order: The columns that may be missing, the least useful first; the bar among them is narrowed before.
    """

    def __init__(self, *columns: ProgressColumn, order: Sequence[ProgressColumn], **settings: Any) -> None:
        """Make the progress.

        Args:
            columns: All columns.
            order: See the class.
            settings: Those of `rich.progress.Progress`.
        """
        self.given, self.order = columns, order
        super().__init__(*columns, **settings)

    def make_tasks_table(self, tasks: Iterable[Task]) -> Table:
        """See `rich.progress.Progress.make_tasks_table`."""
        shown, tasks = list(self.given), list(tasks)
        if not tasks:  # while rich makes its parts
            return super().make_tasks_table(tasks)
        for each in self.order:
            if self._width(shown, tasks) <= self.console.width:
                break
            shown.remove(each)
        room = self.console.width - self._width(shown, tasks) + _NARROWEST
        for each in shown:
            if isinstance(each, BarColumn):
                each.bar_width = min(_WIDEST, room)
        self.columns = tuple(shown)
        return super().make_tasks_table(tasks)

    def _width(self, columns: Sequence[ProgressColumn], tasks: Iterable[Task]) -> int:
        """Characters that columns take, with a bar of the least width."""
        widths = [
            _NARROWEST
            if isinstance(column, BarColumn)
            else max((self.console.measure(column(task)).maximum for task in tasks if task.visible), default=0)
            for column in columns
        ]
        return sum(widths) + len(widths) - 1
