"""The console on which tables are printed."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from capsedge.outside import printable


class Screen(Console):
    """A rich console that makes control characters harmless in all text, such as file and class names."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """See `rich.console.Console.render`."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
