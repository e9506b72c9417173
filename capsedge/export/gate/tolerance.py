"""What a file of each precision may differ from the network: every limit of the gate stands here."""

from dataclasses import dataclass, replace

from capsedge.contract import Precision
from capsedge.errors import ModelError, WrongUse

# Two capsules whose lengths the network itself tells apart by no more than this tie: fp32 in another order of sums,
# which moves each by up to 1e-4, may swap them.
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
        node: Relative difference of a node's output, from which on it is said to start there (`localize`).
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
        """The limits by the names that a verdict's figures have.

        Args:
            drawn: Whether the file gives a reconstruction.
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


# Half a point of error is what every precision may cost unless --max-error-increase says otherwise.
_HALF_A_POINT = 0.005

# One of 255 steps of the largest activation: single lengths move by 0.35 where a capsule is undecided, the mean by
# 0.01, and a component by up to as much as its capsule's length. The mean and the answers catch what is wrong
# everywhere, such as a scale.
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
    # The order of sums alone differs: lengths move by 1e-6 as a rule, so every limit is far above that and far below
    # what a single wrong weight does.
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
    # Eleven bits of mantissa: products move lengths by 1e-3 at most and 1e-4 on average, where nothing overflows.
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
    # Eight bits: eight times fp16's rounding.
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
    # The same steps; rounding to fp16 between them can move a number to the next step.
    "int8+fp16": replace(_INT8, batch=0.05),
    # Four bits of mantissa, of the weights too: coarser than int8 for large numbers and finer for small ones.
    "fp8": replace(_INT8, batch=0.05, agreement=0.9, error_increase=0.01, node=0.2),
}


def tolerance_of(precision: str, *, max_error_increase: float | None = None) -> Tolerance:
    """The limits for a precision as it was read back from a file.

    Args:
        precision: `Contract.precision`.
        max_error_increase: In place of the table's `error_increase`: a share of the images, 0 to 1.

    Raises:
        ModelError: There are no limits for this precision.
        WrongUse: The increase is no share.
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
