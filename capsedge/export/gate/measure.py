"""Running a file on the validation images at every batch size, and measuring its differences from the network."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.export.gate.reference import Answers, Reference
from capsedge.runtime.session import Outputs, Session
from capsedge.scoring import longest

FREE_LARGEST = 250  # largest batch of a file with a free batch
SMALL = (1, 2, 7)  # single images as on an edge device, the smallest real batch, an odd one
FEW = 32  # images that are run at each batch size below the largest


@dataclass
class Deviation:
    """Differences between a file and the network. A difference is infinite if either value is NaN or infinite.

    Attributes:
        lengths: The file's lengths of the validation images, in its largest batch: [images, classes].
        worst: For each image, the largest difference of a length at any batch size: validation images, then the two
            blank images.
        mean: Mean absolute difference of the lengths of the validation images.
        pose: Largest difference of a component of a pose.
        batch: Largest difference of the file's lengths of one image between a batch size and the largest.
        batch_sizes: The two batch sizes of `batch`.
        pixel: Largest difference of a pixel of the reconstruction; None for a file without reconstruction.
        seen: Number of values of each output, over all runs.
        broken: Number of those that are NaN or infinite.
    """

    lengths: NDArray[np.float32]
    worst: NDArray[np.float32]
    mean: float = 0.0
    pose: float = 0.0
    batch: float = 0.0
    batch_sizes: tuple[int, int] = (0, 0)
    pixel: float | None = None
    seen: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    @property
    def length(self) -> float:
        """Largest difference of a length, over all images, classes and batch sizes."""
        return float(self.worst.max())


def measure(session: Session, expected: Reference) -> Deviation:
    """Run a file: all images at its largest batch size, the first few at each smaller one, the blank images at all.

    Raises:
        ModelError: The file does not run, or its outputs have other shapes.
    """
    validation, blank = expected.validation, expected.blank
    count = len(validation.images)
    found = Deviation(np.empty_like(validation.lengths), np.zeros(count + len(blank.images), np.float32))
    found.lengths = _run(session, expected, validation, found, found.worst[:count])
    _run(session, expected, blank, found, found.worst[count:])
    found.mean = float(gap(found.lengths, validation.lengths).mean())
    return found


def batch_sizes(limits: tuple[int, int] | None) -> list[int]:
    """The batch sizes to run, largest first.

    Args:
        limits: `Session.batch_limits`.
    """
    smallest, largest = limits or (1, FREE_LARGEST)
    return sorted({smallest, largest, *(size for size in SMALL if smallest <= size <= largest)}, reverse=True)


def gap(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Absolute differences of two arrays of one shape, in that shape; infinite if either value is NaN or infinite."""
    with np.errstate(invalid="ignore"):
        difference: NDArray[np.float32] = np.abs(ours - theirs)
    return np.where(np.isfinite(difference), difference, np.float32(np.inf))


def _run(
    session: Session, expected: Reference, wanted: Answers, found: Deviation, worst: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run images at every batch size; returns the file's lengths at the largest.

    Every batch is full: the last one is filled with the first images.
    """
    largest, *smaller = batch_sizes(session.batch_limits)
    count = len(wanted.images)
    lengths = np.empty_like(wanted.lengths)
    for size in (largest, *smaller):
        for start in range(0, count if size == largest else min(count, FEW), size):
            chosen = np.arange(start, start + size) % count
            outputs = session.run(wanted.images[chosen])
            np.maximum.at(worst, chosen, gap(outputs.lengths, wanted.lengths[chosen]).max(1))
            _compare_poses(session, outputs, wanted.poses[chosen], found)
            _compare_drawings(session, outputs, expected, wanted, chosen, found)
            _count(outputs, found)
            if size == largest:
                lengths[chosen] = outputs.lengths
            change = float(gap(outputs.lengths, lengths[chosen]).max())
            if change > found.batch:
                found.batch, found.batch_sizes = change, (size, largest)
    return lengths


def _compare_poses(session: Session, outputs: Outputs, wanted: NDArray[np.float32], found: Deviation) -> None:
    if outputs.poses.shape != wanted.shape:
        raise ModelError(
            f"'{session.name}' must give poses of {list(wanted.shape)}, it gave {list(outputs.poses.shape)}"
        )
    found.pose = max(found.pose, float(gap(outputs.poses, wanted).max()))


def _compare_drawings(
    session: Session,
    outputs: Outputs,
    expected: Reference,
    wanted: Answers,
    chosen: NDArray[np.intp],
    found: Deviation,
) -> None:
    """Compare the reconstructions of images with the same answer: another answer gives another class's image."""
    drawn = outputs.reconstruction
    if drawn is None:
        return
    if expected.draw is None:
        raise ModelError(f"'{session.name}' gives a reconstruction, but the network has no decoder")
    labels = expected.contract.labels
    answers = longest(wanted.lengths[chosen], labels)
    same = (longest(outputs.lengths, labels) == answers).all(1)
    truth = expected.draw(wanted.poses[chosen], answers)
    by_label = drawn.reshape(len(drawn), labels, *drawn.shape[-3:])
    # Channels first, as in the decoder's output.
    pixels = np.moveaxis(by_label, -1, 2).reshape(len(drawn), labels, -1)
    if pixels.shape != truth.shape:
        raise ModelError(
            f"'{session.name}' must give {truth.shape[2]} pixels for each reconstruction, it gave {pixels.shape[2]}"
        )
    found.pixel = max(found.pixel or 0.0, float(gap(pixels[same], truth[same]).max(initial=0)))


def _count(outputs: Outputs, found: Deviation) -> None:
    parts = {"lengths": outputs.lengths, "components of poses": outputs.poses, "pixels": outputs.reconstruction}
    for name, values in parts.items():
        if values is not None:
            found.seen[name] += values.size
            found.broken[name] += int((~np.isfinite(values)).sum())
