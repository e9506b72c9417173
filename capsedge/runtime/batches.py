"""Running any number of images in batches."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from capsedge.runtime.session import Outputs, Session


def run_batches(session: Session, images: NDArray[np.uint8], batch: int = 32) -> Outputs:
    """Run any number of images in batches of a size that the model takes.

    Args:
        session: A model with a contract.
        images: uint8 [count, height, width, channels], count of 1 or more.
        batch: Preferred batch; smaller where the model takes fewer images. Where the model takes only larger batches,
            black images pad them, and their outputs are dropped.

    Returns:
        The outputs of all images, in order.

    Raises:
        ModelError: See `Session.run`.
    """
    smallest, largest = session.batch_limits or (1, batch)
    size = min(max(batch, smallest), largest)
    parts = [_run_part(session, images[start : start + size], smallest) for start in range(0, len(images), size)]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _run_part(session: Session, images: NDArray[np.uint8], smallest: int) -> Outputs:
    count = len(images)
    if count < smallest:
        black = np.zeros((smallest - count, *images.shape[1:]), np.uint8)
        images = np.concatenate([images, black])
    outputs = session.run(images)
    drawn = outputs.reconstruction
    return Outputs(outputs.lengths[:count], outputs.poses[:count], None if drawn is None else drawn[:count])


def _joined(parts: Sequence[Outputs]) -> Outputs:
    drawn = [part.reconstruction for part in parts if part.reconstruction is not None]
    return Outputs(
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.poses for part in parts]),
        np.concatenate(drawn) if drawn else None,
    )
