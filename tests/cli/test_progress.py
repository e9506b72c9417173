"""What a person sees of a training: a bar with figures, a line for each epoch, nothing where silence was wanted."""

from typing import Any

import pytest

from capsedge.cli.progress import TrainingProgress
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
    assert task.fields["figures"] == "loss 0.1235  error 20.00 %  1,234 images/s"


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
