"""The limits of the gate: how far a file of each precision may differ from the network."""

from dataclasses import dataclass, replace

from capsedge.contract import Precision
from capsedge.errors import ModelError, WrongUse
from capsedge.statistics import Difference

# Two capsules tie if their lengths in the network differ by at most this: another order of fp32 sums, which changes
# each length by up to 1e-4, may swap them.
TIE = 2e-4


@dataclass(frozen=True)
class Tolerance:
    """The limits for files of one precision.

    Attributes:
        length: Largest absolute difference of a capsule's length.
        mean_length: Mean of the absolute differences, over the images and classes.
        pose: Largest absolute difference of a component of a class capsule.
        batch: Largest absolute difference of a length between two batch sizes of the same file.
        agreement: Smallest share of images with the same answer: the same longest capsule, or the same set of them
            where an image shows several classes; capsules that tie (`TIE`) may swap.
        error_increase: Largest increase of the error over the network's on the same images, as a share of them.
        pixel: Largest absolute difference of a pixel, 0 to 1, of the reconstruction.
        replay: Largest difference of a length when the golden sample is replayed on another machine (`verify`).
        node: Relative difference of a node's output above which the node is reported as the start (`localize`).
    """

    length: float
    mean_length: float
    pose: float
    batch: float
    agreement: float
    error_increase: float
    pixel: float
    replay: float
    node: float

    def limits(self, *, drawn: bool) -> dict[str, float]:
        """The limits by the names of the verdict's figures.

        Args:
            drawn: Whether the file has a reconstruction.
        """
        return {
            "largest_length_difference": self.length,
            "mean_length_difference": self.mean_length,
            "largest_pose_difference": self.pose,
            "difference_between_batches": self.batch,
            "top1_agreement": self.agreement,
            "error_change": self.error_increase,
            **({"largest_reconstruction_difference": self.pixel} if drawn else {}),
        }


# Every precision but fp8 may raise the error by half a point unless --max-error-increase sets another limit.
_HALF_A_POINT = 0.005

# Steps of 1/255 of the activations' range: lengths of ambiguous capsules change by up to 0.35, the mean by 0.01, and
# a component of a pose by up to its capsule's length. The limits of the mean and of the agreement catch faults that
# affect every image, such as a wrong scale.
_INT8 = Tolerance(
    length=0.5,
    mean_length=0.02,
    pose=0.5,
    batch=0.02,
    agreement=0.95,
    error_increase=_HALF_A_POINT,
    pixel=0.6,
    replay=0.1,
    node=0.15,
)

TOLERANCES: dict[Precision, Tolerance] = {
    # Only the order of sums differs: lengths typically change by 1e-6. Every limit is far above that and far below
    # the effect of a single wrong weight.
    "fp32": Tolerance(
        length=1e-4,
        mean_length=1e-5,
        pose=1e-4,
        batch=1e-4,
        agreement=0.999,
        error_increase=_HALF_A_POINT,
        pixel=1e-3,
        replay=1e-4,
        node=1e-4,
    ),
    # Eleven bits of mantissa: without overflow, lengths change by 1e-3 at most and by 1e-4 on average.
    "fp16": Tolerance(
        length=1e-2,
        mean_length=1e-3,
        pose=1e-2,
        batch=5e-3,
        agreement=0.99,
        error_increase=_HALF_A_POINT,
        pixel=0.05,
        replay=1e-2,
        node=1e-2,
    ),
    # Eight bits of mantissa: eight times the rounding of fp16.
    "bf16": Tolerance(
        length=0.05,
        mean_length=5e-3,
        pose=0.05,
        batch=0.02,
        agreement=0.98,
        error_increase=_HALF_A_POINT,
        pixel=0.2,
        replay=0.05,
        node=0.05,
    ),
    "int8": _INT8,
    # The same steps; rounding to fp16 in between can change a code by one step.
    "int8+fp16": replace(_INT8, batch=0.05),
    # Four bits of mantissa, also for the weights: coarser than int8 for large values and finer for small ones.
    "fp8": replace(_INT8, batch=0.05, agreement=0.9, error_increase=0.01, node=0.2),
}


def is_unproved(change: Difference, limit: float, length: float | None) -> bool:
    """Whether the error on all images, of which some were measured, may rise by more than a limit.

    Lengths that differ by no more than a tie change no answer that matters, on whatever image.

    Args:
        change: The measured change, with its interval.
        limit: Largest increase of the error, as a share of the images.
        length: Largest measured difference of a length; None if it is not finite.
    """
    return change.high > limit and (length is None or length > TIE)


def tolerance_of(precision: str, *, max_error_increase: float | None = None) -> Tolerance:
    """The limits for a precision that was read back from a file.

    Args:
        precision: `Contract.precision`.
        max_error_increase: Replaces the table's `error_increase`: a share of the images, 0 to 1.

    Raises:
        ModelError: There are no limits for this precision.
        WrongUse: The increase is not in 0 to 1.
    """
    found = {str(name): tolerance for name, tolerance in TOLERANCES.items()}.get(precision)
    if found is None:
        raise ModelError(
            f"a file that computes in {precision} cannot be judged; there are limits for {', '.join(TOLERANCES)}"
        )
    if max_error_increase is None:
        return found
    if not 0 <= max_error_increase <= 1:
        raise WrongUse(f"max_error_increase: expected 0 to 100 points, got {100 * max_error_increase:g}")
    return replace(found, error_increase=max_error_increase)
