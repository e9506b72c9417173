"""How a training looks on a terminal: a bar for the epoch, a line for each epoch; plain lines in a pipe."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from capsedge.cli.console import err, percent, say

if TYPE_CHECKING:
    from capsedge.training.checkpoint import Position


class TrainingProgress:
    """Draws a training's events; an `Observer` of capsedge.training.

    Args:
        silent: Say nothing at all.
    """

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent
        self.epochs = self.batches = 0
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=err,
            transient=True,
            redirect_stdout=False,
            disable=silent or not err.is_terminal,
        )
        self.task = self.bar.add_task("training", total=None, figures="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def started(self, position: "Position", epochs: int, batches: int) -> None:
        """The bar counts the iterations of the whole training, so that the time left is the training's."""
        self.epochs, self.batches = epochs, batches
        self.bar.update(self.task, total=epochs * batches, completed=position.epoch * batches + position.batch)
        self._describe(position.epoch + 1)

    def stepped(self, images: int) -> None:
        """One more iteration."""
        del images
        self.bar.advance(self.task)

    def measured(self, row: dict[str, Any]) -> None:
        """A metrics row: training rows move the bar's figures, validation rows become a line."""
        if row["kind"] == "training":
            self._describe(row["epoch"])
            figures = (
                f"loss {row['loss']:.4f}  error {percent(row['error'])}  {row['images_per_second']:,.0f} images/s"
            )
            self.bar.update(self.task, figures=figures)
        elif row["kind"] == "validation" and not self.silent:
            epochs = row["step"] / self.batches
            number = f"{epochs:.0f}" if epochs.is_integer() else f"{epochs:.2f}"
            line = f"epoch {number:>3}  validation error {percent(row['error'])}  loss {row['loss']:.4f}"
            if row["b"] is not None:
                line += f"  b: mean {row['b']['mean']:.3f}, spread {row['b']['spread']:.3f}"
            say(line)

    def _describe(self, epoch: int) -> None:
        self.bar.update(self.task, description=f"epoch {epoch}/{self.epochs}")
