"""The console on which tables are printed."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from capsedge.outside import printable


class Screen(Console):
    """A console of rich that a stranger's text cannot steer, wherever in a table, a heading or a line it stands."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """See `rich.console.Console.render`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
