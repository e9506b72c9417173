"""Running any number of images in batches."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from capsedge.runtime.session import Outputs, Session


def run_batches(session: Session, images: NDArray[np.uint8], batch: int = 32) -> Outputs:
    """Run any number of images in batches of a size that the model takes.

    Args:
        session: A model with a contract.
        images: uint8 [count, height, width, channels], count of 1 or more.
        batch: See `in_batches`.

    Returns:
        The outputs of all images, in order.

    Raises:
        ModelError: See `Session.run`.
    """
    parts = [_first(session.run(part), count) for part, count in in_batches(session, images, batch)]
    return parts[0] if len(parts) == 1 else _joined(parts)


def in_batches(session: Session, images: NDArray[np.uint8], batch: int) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Divide images into batches of a size that a model takes.

    Args:
        session: The model.
        images: uint8 [count, height, width, channels].
        batch: Preferred batch; smaller where the model takes fewer images.

    Yields:
        The images of a batch, and how many they are without the black ones that pad them where the model takes only
        larger batches: drop the outputs of those.
    """
    smallest, largest = session.batch_limits or (1, batch)
    size = min(max(batch, smallest), largest)
    for start in range(0, len(images), size):
        part = images[start : start + size]
        count = len(part)
        if count < smallest:
            part = np.concatenate([part, np.zeros((smallest - count, *images.shape[1:]), np.uint8)])
        yield part, count


def _first(outputs: Outputs, count: int) -> Outputs:
    drawn = outputs.reconstruction
    return Outputs(outputs.lengths[:count], outputs.poses[:count], None if drawn is None else drawn[:count])


def _joined(parts: Sequence[Outputs]) -> Outputs:
    drawn = [part.reconstruction for part in parts if part.reconstruction is not None]
    return Outputs(
        np.concatenate([part.lengths for part in parts]),
        np.concatenate([part.poses for part in parts]),
        np.concatenate(drawn) if drawn else None,
    )
