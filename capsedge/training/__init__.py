"""Algorithm 1: training, evaluation, checkpoints and metrics."""

from capsedge.data.load import dataset_of
from capsedge.run_record import RunRecord
from capsedge.training.devices import launch
from capsedge.training.evaluate import Evaluation, evaluate, lengths_of
from capsedge.training.log import Observer
from capsedge.training.run import Run, new_run, newest_run
from capsedge.training.trainer import Trainer

__all__ = [
    "Evaluation",
    "Observer",
    "Run",
    "RunRecord",
    "Trainer",
    "dataset_of",
    "evaluate",
    "launch",
    "lengths_of",
    "new_run",
    "newest_run",
]
