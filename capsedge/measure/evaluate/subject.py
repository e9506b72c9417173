"""What is evaluated: a network that answers labelled images, whatever runs it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from capsedge.fit import Fit
from capsedge.runtime.batches import run_batches
from capsedge.runtime.infer.classify import on_dark_background
from capsedge.runtime.session import Session, contract_needed


@dataclass(frozen=True, kw_only=True)
class EvaluatedNetwork:
    """A network with what must be known to show it images.

    Attributes:
        name: Its name for people.
        classes: Class names in the order of the lengths.
        shape: Height, width and channels of its input.
        fit: How it wants images fitted.
        dark_background: Whether it was trained on light things on a dark background (`wants_dark_background`).
        run: The folder of its run, if it lies in one: what it has learned from is known there.
        lengths: From images, uint8 [N, height, width, channels], to capsule lengths, [N, classes]; of somebody else's
            network its scores.
        remarks: What was assumed of it, one line each.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    fit: Fit
    dark_background: bool
    run: Path | None
    lengths: Callable[[NDArray[np.uint8]], NDArray[np.float32]]
    remarks: tuple[str, ...] = ()


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
        run=session.file.parent if (session.file.parent / "run.json").is_file() else None,
        lengths=lambda images: run_batches(session, images).lengths,
    )
