"""Running a file on the validation images at every batch size, and measuring how far it is from the network."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from capsedge.errors import ModelError
from capsedge.export.gate.reference import Answers, Reference
from capsedge.runtime.session import Outputs, Session
from capsedge.scoring import longest

FREE_LARGEST = 250  # where the file takes any batch
SMALL = (1, 2, 7)  # one by one as at the edge, the smallest real batch, an odd one
FEW = 32  # images that go through each batch size below the largest


@dataclass
class Deviation:
    """How far a file is from the network. A difference is infinite where one of the two is not a number.

    Attributes:
        lengths: The file's lengths of the validation images, in its largest batch: [images, classes].
        worst: Largest difference of a length of each image at any batch size: validation, then the two blank ones.
        mean: Mean absolute difference of the lengths of the validation images.
        pose: Largest difference of a component of a pose.
        batch: Largest difference of the file's lengths of one image between a batch size and the largest.
        batch_sizes: Those two sizes.
        pixel: Largest difference of a pixel of the reconstruction; None where the file gives none.
        seen: Numbers of each output, over all runs.
        broken: Those that are NaN or infinite.
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
    """Run a file: every image in its largest batch, the first few in each smaller one, the blank ones in all.

    Raises:
        ModelError: The file does not run, or gives outputs of another shape.
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
    """Absolute differences; infinite where one of the two is not a number."""
    with np.errstate(invalid="ignore"):
        difference: NDArray[np.float32] = np.abs(ours - theirs)
    return np.where(np.isfinite(difference), difference, np.float32(np.inf))


def _run(
    session: Session, expected: Reference, wanted: Answers, found: Deviation, worst: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Run images at every batch size, and give the file's lengths of them in the largest.

    Every batch is full: after the last image the first ones come again.
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
    """Compare the reconstructions of the images that get the same answer: another one draws another class."""
    drawn = outputs.reconstruction
    if drawn is None:
        return
    if expected.draw is None:
        raise ModelError(f"'{session.name}' gives a reconstruction, and the network has no decoder")
    labels = expected.contract.labels
    answers = longest(wanted.lengths[chosen], labels)
    same = (longest(outputs.lengths, labels) == answers).all(1)
    truth = expected.draw(wanted.poses[chosen], answers)
    by_label = drawn.reshape(len(drawn), labels, *drawn.shape[-3:])
    pixels = np.moveaxis(by_label, -1, 2).reshape(len(drawn), labels, -1)  # channels first, as the decoder gives them
    if pixels.shape != truth.shape:
        raise ModelError(
            f"'{session.name}' must draw {truth.shape[2]} pixels for each answer, it drew {pixels.shape[2]}"
        )
    found.pixel = max(found.pixel or 0.0, float(gap(pixels[same], truth[same]).max(initial=0)))


def _count(outputs: Outputs, found: Deviation) -> None:
    parts = {"lengths": outputs.lengths, "components of poses": outputs.poses, "pixels": outputs.reconstruction}
    for name, values in parts.items():
        if values is not None:
            found.seen[name] += values.size
            found.broken[name] += int((~np.isfinite(values)).sum())
