"""A training's figures as event files for TensorBoard, in the run's folder `tensorboard/`."""

from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from capsedge.errors import require
from capsedge.training.checkpoint import Position
from capsedge.training.metrics import read_metrics
from capsedge.training.run import Run

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_PLACE = ("kind", "epoch", "step")  # of a row; the others are its figures


class TensorBoardLog:
    """Writes the rows of metrics.jsonl as scalars; an `Observer`, for rank 0 alone.

    The figures have the names of metrics.jsonl below their row's kind, such as `training/loss` and
    `validation/error`; those of the coefficients are `b/mean`, `b/spread` and so on. The row of the test images is
    left out: it is one figure, and no curve.

    Args:
        run: The run that is trained. A resumed one goes on with its log; where it has none, the rows that its
            metrics.jsonl has already are written first.

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
        """Open a file; what older ones hold of steps that will be done again is struck out by it."""
        del epochs, batches
        goes_on = any(self.run.tensorboard.glob("events.out.tfevents.*"))
        self.writer = self.module.SummaryWriter(
            str(self.run.tensorboard), purge_step=position.step + 1 if goes_on else None
        )
        if not goes_on:
            for row in read_metrics(self.run.metrics):
                self.measured(row)

    def stepped(self, images: int) -> None:
        """Nothing: an iteration has no figures of its own."""

    def measured(self, row: dict[str, Any]) -> None:
        """Write a row's figures at once, so that a kill leaves in the log what it leaves in metrics.jsonl."""
        assert self.writer is not None, "a training starts before it measures"
        if row["kind"] != "test":
            for tag, figure in scalars(row):
                self.writer.add_scalar(tag, figure, row["step"])
            self.writer.flush()


def scalars(row: dict[str, Any]) -> Iterator[tuple[str, float]]:
    """A row's figures by their tags; coefficients without b have none."""
    for name, figure in row.items():
        if isinstance(figure, dict):
            yield from ((f"{name}/{part}", value) for part, value in figure.items())
        elif name not in _PLACE and figure is not None:
            yield f"{row['kind']}/{name}", figure
