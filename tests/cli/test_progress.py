"""What a person sees of a training: a bar with figures, a line for each epoch, nothing where silence was wanted."""

import inspect
import io
import re
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from capsedge.cli.progress import TrainingProgress
from capsedge.cli.screens.export import building
from capsedge.data.fetch import _Bar, _progress
from capsedge.training.checkpoint import Position

TRAINING = {"kind": "training", "epoch": 2, "step": 30, "loss": 0.12345, "error": 0.2, "images_per_second": 1234.5}
VALIDATION = {
    "kind": "validation", "epoch": 2, "step": 40, "loss": 0.1, "error": 0.0912,
    "b": {"mean": 1.01, "spread": 0.05, "largest": 2.0, "negative": 0.0, "zero": 0.0},
}  # fmt: skip


def shown(rows: list[dict[str, Any]], *, silent: bool = False) -> TrainingProgress:
    progress = TrainingProgress(silent=silent)
    progress.started(Position(epoch=1, batch=5, step=25), epochs=3, batches=20)
    progress.stepped(64)
    for row in rows:
        progress.measured(row)
    return progress


def test_a_resumed_bar_starts_where_the_training_does() -> None:
    (task,) = shown([]).bar.tasks
    assert (task.completed, task.total) == (26, 60)
    assert task.description == "epoch 2/3"


def test_the_bar_shows_loss_error_and_images_per_second() -> None:
    (task,) = shown([TRAINING]).bar.tasks
    assert [task.fields[each] for each in ("loss", "error", "speed")] == [
        "loss 0.1235", "error 20.00 %", "1,234 images/s",
    ]  # fmt: skip


LEFT = re.compile(r" left (0:00:\d\d|-:--:--)$")


def drawn(bar: Progress, width: int) -> str:
    """The line of a progress on a terminal of so many columns."""
    bar.live.console = console = Console(width=width, force_terminal=True, color_system=None, file=io.StringIO())
    with console.capture() as capture:
        console.print(bar.make_tasks_table(bar.tasks))
    (line,) = capture.get().splitlines()
    assert len(line) <= width
    return line.rstrip()


@pytest.mark.parametrize("width", range(24, 120, 5))
def test_the_time_that_is_left_is_whole_in_every_width(width: int) -> None:
    bar = shown([TRAINING]).bar
    assert LEFT.search(drawn(bar, width))
    with _progress() as download:
        _Bar(download, "train-images-idx3-ubyte.gz").total = 26_421_880
        assert LEFT.search(drawn(download, width))


def test_a_phase_of_an_engine_is_cut_and_not_its_steps() -> None:
    with building() as progress:
        progress("Building engine from the network, tactics of layer 12 of 40", 12, 40)
        bar = inspect.getclosurevars(progress).nonlocals["progress"]
        assert drawn(bar, 60).endswith("… 12/40")


@pytest.mark.parametrize(
    ("width", "there", "missing"),
    [
        (120, ("epoch 2/3", "26/60", "loss 0.1235", "error 20.00 %", "1,234 images/s", "━"), ()),
        (80, ("epoch 2/3", "26/60", "loss 0.1235", "error 20.00 %", "1,234 images/s", "━"), ()),
        (60, ("epoch 2/3", "26/60", "error 20.00 %", "━"), ("images/s",)),
        (40, ("epoch 2/3", "error 20.00 %"), ("images/s", "loss", "━")),
        (25, ("epoch 2/3",), ("images/s", "loss", "error", "/60", "━")),
    ],
)
def test_a_narrow_terminal_shows_the_time_that_is_left(
    width: int, there: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    line = drawn(shown([TRAINING]).bar, width)

    assert LEFT.search(line)
    assert [each for each in there if each not in line] == []
    assert [each for each in missing if each in line] == []


def test_an_epoch_is_a_line_with_the_validation_error_and_the_coefficients(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown([VALIDATION])
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "epoch   2  validation error 9.12 %  loss 0.1000  b: mean 1.010, spread 0.050\n"


def test_dynamic_routing_has_no_coefficients_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    shown([{**VALIDATION, "b": None}])
    assert capsys.readouterr().err == "epoch   2  validation error 9.12 %  loss 0.1000\n"


def test_silence_is_silence(capsys: pytest.CaptureFixture[str]) -> None:
    shown([TRAINING, VALIDATION], silent=True)
    assert capsys.readouterr() == ("", "")


def test_in_a_pipe_a_long_epoch_is_a_line_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 59.0, 61.0, 61.0, 119.0, 122.0, 122.0])  # a line asks once more
    monkeypatch.setattr("capsedge.cli.progress.time.monotonic", lambda: next(now))
    shown([TRAINING, TRAINING, TRAINING, TRAINING])
    line = "epoch   2  step 30 of 60  loss 0.1235  error 20.00 %  1,234 images/s\n"
    assert capsys.readouterr().err == 2 * line
