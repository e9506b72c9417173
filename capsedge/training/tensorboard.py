"""Writes a training's metrics as event files for TensorBoard, in the run's folder `tensorboard/`."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from capsedge.errors import require
from capsedge.training.checkpoint import Position
from capsedge.training.metrics import read_metrics
from capsedge.training.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_POSITION = ("kind", "epoch", "step")  # fields of a row that are not metrics


class TensorBoardLog:
    """An `Observer` that writes the rows of metrics.jsonl as scalars, on rank 0.

    A scalar's tag is the kind of the row and the name in metrics.jsonl, such as `training/loss` and
    `validation/error`; those of the coefficients are `b/mean`, `b/spread` and so on. The test row is skipped: it is
    one value, not a curve.

    Args:
        run: The run. A resumed run continues its log; if it has none, the rows in its metrics.jsonl are written
            first.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.module = require("torch.utils.tensorboard", extra="tensorboard")
        self.writer: SummaryWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """Open a file; it purges the steps of older files that will be repeated."""
        del epochs, batches
        continues = any(self.run.tensorboard.glob("events.out.tfevents.*"))
        self.writer = self.module.SummaryWriter(
            str(self.run.tensorboard), purge_step=position.step + 1 if continues else None
        )
        if not continues:
            for row in read_metrics(self.run.metrics):
                self.measured(row)

    def stepped(self, images: int) -> None:
        """Does nothing: an iteration has no metrics of its own."""

    def measured(self, row: dict[str, Any]) -> None:
        """Write and flush a row's scalars, so that a killed training leaves the same rows as in metrics.jsonl."""
        assert self.writer is not None, "a training starts before it measures"
        if row["kind"] != "test":
            for tag, value in scalars(row):
                self.writer.add_scalar(tag, value, row["step"])
            self.writer.flush()


def scalars(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """A row's tags and values; a routing without b has no scalars of b."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}/{part}", number) for part, number in value.items())
        elif name not in _POSITION and value is not None:
            yield f"{row['kind']}/{name}", value
