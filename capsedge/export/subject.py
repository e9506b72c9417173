"""A run's network in torch as the subject of an evaluation, before an export or to draw its answers."""

import numpy as np
import torch
from numpy.typing import NDArray

from capsedge.data import Split
from capsedge.measure.evaluate.remark import eval_remark
from capsedge.measure.evaluate.subject import EvaluatedNetwork
from capsedge.training import Run
from capsedge.training.evaluate import lengths_of

_NOT_KNOWN = (
    "the run was made by an earlier capsedge and does not record whether its images have a dark background: light "
    "and dark are not exchanged; export the run to have them exchanged"
)


def subject_of_run(run: Run) -> EvaluatedNetwork:
    """The trained network of a run's best epoch, on the CPU.

    Raises:
        ModelError: The run has no network yet, or is damaged.
    """
    record, network = run.read_record(), run.load_best()

    def lengths(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        split = Split(images, np.zeros(len(images), np.int64))
        answer: NDArray[np.float32] = lengths_of(network, split, torch.device("cpu")).numpy()
        return answer

    return EvaluatedNetwork(
        name=f"run {run.path}",
        classes=record.classes,
        shape=record.shape,
        fit=record.fit,
        dark_background=bool(record.dark_background),
        run=run.path,
        lengths=lengths,
        remarks=(eval_remark("assumed-background", _NOT_KNOWN),) if record.dark_background is None else (),
    )
