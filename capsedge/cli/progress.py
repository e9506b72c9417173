"""The progress of a training: a bar and a line for each epoch; in a pipe lines only, at least one a minute."""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from capsedge.bar import FittingProgress
from capsedge.cli.console import err, percent, say

if TYPE_CHECKING:
    from capsedge.training.checkpoint import Position


_QUIET_SECONDS = 60  # longest time without a line in a pipe, which has no bar


class TrainingProgress:
    """Shows the progress of a training; an `Observer` of capsedge.training.

    Args:
        silent: Print nothing.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.epochs = self.batches = 0
        figures = [TextColumn(f"{{task.fields[{each}]}}") for each in ("loss", "error", "speed")]
        bar, steps = BarColumn(), MofNCompleteColumn()
        self.bar = FittingProgress(
            TextColumn("{task.description}"),
            bar,
            steps,
            *figures,
            TextColumn("left"),
            TimeRemainingColumn(),
            order=(figures[2], figures[0], steps, bar, figures[1]),
            console=err,
            transient=True,
            redirect_stdout=False,
            disable=silent or not err.is_terminal,
        )
        self.task = self.bar.add_task("training", total=None, loss="", error="", speed="")
        self.said_at = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def started(self, position: "Position", epochs: int, batches: int) -> None:
        """Set up the bar: it counts the iterations of the whole training, and estimates its remaining time."""
        self.epochs, self.batches = epochs, batches
        self.bar.update(self.task, total=epochs * batches, completed=position.epoch * batches + position.batch)
        self._describe(position.epoch + 1)

    def stepped(self, images: int) -> None:
        """Advance the bar by one iteration."""
        del images
        self.bar.advance(self.task)

    def measured(self, row: dict[str, Any]) -> None:
        """Show a metrics row: training rows update the bar's figures, validation rows become a line."""
        if row["kind"] == "training":
            self._describe(row["epoch"])
            figures: dict[str, Any] = {
                "loss": f"loss {row['loss']:.4f}",
                "error": f"error {percent(row['error'])}",
                "speed": f"{row['images_per_second']:,.0f} images/s",
            }
            self.bar.update(self.task, **figures)
            if self.bar.disable and not self.silent and time.monotonic() - self.said_at >= _QUIET_SECONDS:
                self._line(
                    f"epoch {row['epoch']:>3}  step {row['step']:,} of {self.epochs * self.batches:,}  "
                    + "  ".join(figures.values())
                )
        elif row["kind"] == "validation" and not self.silent:
            epochs = row["step"] / self.batches
            number = f"{epochs:.0f}" if epochs.is_integer() else f"{epochs:.2f}"
            line = f"epoch {number:>3}  validation error {percent(row['error'])}  loss {row['loss']:.4f}"
            if row["b"] is not None:
                line += f"  b: mean {row['b']['mean']:.3f}, spread {row['b']['spread']:.3f}"
            self._line(line)

    def _line(self, text: str) -> None:
        say(text)
        self.said_at = time.monotonic()

    def _describe(self, epoch: int) -> None:
        self.bar.update(self.task, description=f"epoch {epoch}/{self.epochs}")
