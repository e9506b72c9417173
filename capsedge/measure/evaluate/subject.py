"""The network to evaluate, independent of its runtime."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.fit import Fit
from capsedge.measure.evaluate.remark import EvalRemark
from capsedge.run_record import is_run
from capsedge.runtime.batches import run_batches
from capsedge.runtime.infer.classify import on_dark_background
from capsedge.runtime.session import Session, contract_needed


@dataclass(frozen=True, kw_only=True)
class EvaluatedNetwork:
    """A network with the facts for preparing its input.

    Attributes:
        name: Its name for people.
        classes: Class names in the order of the lengths.
        shape: Height, width and channels of its input.
        fit: How images are fitted to its input.
        dark_background: Whether it was trained on light objects on a dark background (`wants_dark_background`).
        run: Folder of its run, where the file lies in one; its record names the training data.
        lengths: Maps images, uint8 [N, height, width, channels], to capsule lengths, [N, classes], or to scores for a
            network without a contract.
        remarks: Assumptions about it.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    fit: Fit
    dark_background: bool
    run: Path | None
    lengths: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    remarks: tuple[EvalRemark, ...] = ()


def subject_of(session: Session) -> EvaluatedNetwork:
    """A model with a contract, open in its session.

    Raises:
        ModelError: The model has no contract.
    """
    contract = contract_needed(session)
    return EvaluatedNetwork(
        name=session.name,
        classes=contract.classes,
        shape=contract.input.shape,
        fit=contract.fit,
        dark_background=on_dark_background(contract),
        run=session.file.parent if is_run(session.file.parent) else None,
        lengths=lambda images: run_batches(session, images).lengths,
    )
