"""The progress bar of a measurement, drawn between its rounds only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def measuring() -> Iterator[Callable[[float], None]]:
    """Yield a function that draws the completed share, 0 to 1; a drawing thread would disturb the timing."""
    from capsedge.cli.console import err

    if not err.is_terminal:
        yield lambda _: None
        return
    from time import monotonic

    from rich.progress import Progress

    with Progress(console=err, transient=True, auto_refresh=False) as bar:
        task = bar.add_task("measuring", total=1.0)
        drawn = 0.0

        def draw(share: float) -> None:
            nonlocal drawn
            if monotonic() - drawn > 0.2:
                bar.update(task, completed=share, refresh=True)
                drawn = monotonic()

        yield draw
