"""TensorBoard's event files hold the curves of metrics.jsonl, whatever interrupted the training."""

import time
from pathlib import Path
from typing import Any

import pytest

from capsedge.data import Dataset
from capsedge.errors import Interrupted
from capsedge.training import Observer, Run, Trainer
from capsedge.training.log import Observers
from capsedge.training.tensorboard import TensorBoardLog
from tests.tiny import Interrupting, Silent, tiny_recipe
from tests.training.event_files import curves_of_events, curves_of_metrics

STEPS, VALIDATED_EVERY = 44, 2


class Killed(Exception):
    """Stands in for the end of a process that could save nothing."""


class Killing(Silent):
    """Ends the training at a row; the state is saved after the row of a validation, and not yet at it."""

    def __init__(self, kind: str, step: int) -> None:
        self.row = kind, step

    def measured(self, row: Any) -> None:
        if (row["kind"], row["step"]) == self.row:
            raise Killed


class Watching(Silent):
    """Reads the event files while the training goes."""

    def __init__(self, run: Run) -> None:
        self.run, self.looks = run, 0

    def measured(self, row: Any) -> None:
        if row["kind"] == "validation":
            assert curves_of_events(self.run) == curves_of_metrics(self.run)
            self.looks += 1


def trained(folder: Path, data: Dataset, observer: Observer, *, logged: bool = True, kind: str = "l2") -> Run:
    """Train to the end, from the start or from where the run stands."""
    run = Run(folder)
    sizes = ("train.batch_size=64", "train.epochs=11", "train.validations=2")  # 4 steps an epoch
    trainer = Trainer(tiny_recipe(*sizes, base=f"fashion-mnist-{kind}-small"), data, run, device="cpu")
    if (folder / "run.json").exists():
        trainer.resume()
        time.sleep(1)  # files are read in the order of their names, which tell the second
    else:
        trainer.start()
    if not logged:
        trainer.train(observer)
        return run
    with TensorBoardLog(run) as log:
        trainer.train(Observers(log, observer))
    return run


@pytest.mark.parametrize("kind", ["l2", "dynamic"])
def test_the_curves_are_those_of_the_metrics_file(kind: str, little: Dataset, tmp_path: Path) -> None:
    run = trained(tmp_path, little, Silent(), kind=kind)
    assert curves_of_events(run) == curves_of_metrics(run)
    assert ("b/spread" in curves_of_events(run)) == (kind == "l2")


def test_they_can_be_watched_while_the_training_goes(little: Dataset, tmp_path: Path) -> None:
    watching = Watching(Run(tmp_path))
    trained(tmp_path, little, watching)
    assert watching.looks == STEPS / VALIDATED_EVERY


def test_an_interrupted_training_goes_on_in_the_same_log(little: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path, little, Interrupting(after=21))
    run = trained(tmp_path, little, Silent())
    assert len(list(run.tensorboard.iterdir())) == 2
    assert curves_of_events(run) == curves_of_metrics(run)


@pytest.mark.parametrize(("kind", "step"), [("validation", 20), ("training", 20), ("training", 2)])
def test_steps_that_are_done_again_after_a_kill_are_in_the_log_once(
    kind: str, step: int, little: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        trained(tmp_path, little, Killing(kind, step))
    assert curves_of_events(Run(tmp_path))["training/loss"][-1][0] == step, "the log holds what was not saved"
    run = trained(tmp_path, little, Silent())
    validated = [step for step, _ in curves_of_events(run)["validation/error"]]
    assert validated == list(range(VALIDATED_EVERY, STEPS + 1, VALIDATED_EVERY))
    assert curves_of_events(run) == curves_of_metrics(run)


def test_a_log_that_is_asked_for_later_begins_with_the_training(little: Dataset, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        trained(tmp_path, little, Interrupting(after=21), logged=False)
    run = trained(tmp_path, little, Silent())
    assert curves_of_events(run)["validation/error"][0][0] == VALIDATED_EVERY
    assert curves_of_events(run) == curves_of_metrics(run)
