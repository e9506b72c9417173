"""Algorithm 1: training, evaluation, checkpoints and metrics."""

from capsedge.training.evaluate import Evaluation, evaluate, lengths_of
from capsedge.training.run import Run, RunRecord, new_run, newest_run
from capsedge.training.trainer import Observer, Trainer

__all__ = ["Evaluation", "Observer", "Run", "RunRecord", "Trainer", "evaluate", "lengths_of", "new_run", "newest_run"]
