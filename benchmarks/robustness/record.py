"""The record of a measurement: every figure of the tables, and the versions that measured it."""

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.robustness.conditions import ConditionKind
from capsedge.errors import ModelError
from capsedge.files import write_atomically
from capsedge.processor import Processor

AttackKind = Literal["fgsm", "pgd", "strongest"]
FindingCode = Literal["pgd-below-fgsm", "pgd-withstood", "all-withstood", "margin-loss-misses"]


class ErrorRow(msgspec.Struct, frozen=True, kw_only=True):
    """The error of one network under one condition or attack; shares are 0 to 1.

    Attributes:
        kind: The condition or the attack; `strongest` counts images that are wrong under any attack or without one.
        amount: See `conditions.Condition`; epsilon of an attack, the largest change of a value of 0 to 1.
        images: Number of images.
        error: Share of wrong answers.
        standard_error: Binomial standard error of that share.
        change: Difference from the error on the unchanged images.
        change_low: Lower end of its 95 % interval, paired by image (`paired_difference`).
        change_high: Upper end.
    """

    kind: ConditionKind | AttackKind
    amount: float | None
    images: int
    error: float
    standard_error: float
    change: float
    change_low: float
    change_high: float


class ErrorDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Difference of a network's error from that of the first network, on the same images.

    Attributes:
        kind: As in `ErrorRow`.
        amount: As in `ErrorRow`.
        mean: The difference.
        low: Lower end of its 95 % interval, paired by image (`paired_difference`).
        high: Upper end.
    """

    kind: ConditionKind | AttackKind
    amount: float | None
    mean: float
    low: float
    high: float


class Blank(msgspec.Struct, frozen=True, kw_only=True):
    """A uniform image.

    Attributes:
        name: `black`, `grey` or `white`.
        length: Length of the longest capsule.
        answer: Class of that capsule.
        rejected: Whether the length is below the threshold.
    """

    name: str
    length: float
    answer: str
    rejected: bool


class ForeignRow(msgspec.Struct, frozen=True, kw_only=True):
    """Images of none of the classes, by their longest length; shares are 0 to 1.

    Attributes:
        name: `noise`, or the name of a `--foreign` source.
        images: Number of images.
        above_half: Share of them with a length above 0.5.
        above_half_standard_error: Binomial standard error of that share.
        auroc: Probability that a test image has a longer capsule than one of these; ties count half.
        auroc_standard_error: Standard error by DeLong et al. 1988; None for a single image.
        rejected: Share of them below the threshold.
        rejected_standard_error: Binomial standard error of that share.
    """

    name: str
    images: int
    above_half: float
    above_half_standard_error: float
    auroc: float
    auroc_standard_error: float | None
    rejected: float
    rejected_standard_error: float


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """The smallest longest length of an image that is accepted as one of the classes.

    Attributes:
        length: The threshold, chosen on the validation images.
        validation_images: Number of validation images.
        validation_kept: Share of them that reach it.
        test_images: Number of test images.
        test_kept: Share of them that reach it.
        test_kept_standard_error: Binomial standard error of that share.
    """

    length: float
    validation_images: int
    validation_kept: float
    test_images: int
    test_kept: float
    test_kept_standard_error: float


class WeakAttack(msgspec.Struct, frozen=True, kw_only=True):
    """A sign that an attack is too weak.

    Attributes:
        code: `pgd-below-fgsm`: PGD on the training's loss has a lower error than FGSM. `pgd-withstood`: its error is
            too low for an epsilon at which nearly every image can get a wrong answer. `all-withstood`: so is that of
            all attacks together. `margin-loss-misses`: all attacks together have a higher error than PGD on the
            training's loss (the name is of before linear heads).
        epsilon: Size of the attack.
        error: Error under PGD on the training's loss; for `all-withstood` under all attacks together.
        beside: The error for comparison: that of FGSM; the expected minimum, for both `...-withstood`; that of all
            attacks.
    """

    code: FindingCode
    epsilon: float
    error: float
    beside: float


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one network.

    Attributes:
        source: `run`, or an exported `file`, which has no gradients.
        provider: `torch`, in float32, or the execution provider of a file.
        recipe: Name of the recipe.
        routing: Kind of routing.
        trained_on: Description of its training data.
        trained_on_these: Whether its validation images are those of this measurement, as far as is known. If not, it
            may have been trained on images that are measured here.
        variations: Augmentation of its training images, by the recipe's keys; None if unknown.
        conditions: Errors under each condition, `clean` first.
        attacks: Errors under each attack; empty without gradients.
        flat: Share of the attacked images on which the training's loss has a zero gradient; None without gradients.
        findings: Signs that the attacks are too weak.
        threshold: Threshold on the longest length.
        blanks: Results on uniform images.
        foreign: Results on images of none of the classes.
        condition_changes: Differences of the errors from the first network's, by condition; empty for the first.
        attack_changes: The same by attack, if both have gradients.
    """

    source: Literal["run", "file"]
    provider: str
    recipe: str
    routing: str
    trained_on: str
    trained_on_these: bool
    variations: dict[str, float] | None
    conditions: tuple[ErrorRow, ...]
    attacks: tuple[ErrorRow, ...]
    flat: float | None
    findings: tuple[WeakAttack, ...]
    threshold: Threshold
    blanks: tuple[Blank, ...]
    foreign: tuple[ForeignRow, ...]
    condition_changes: tuple[ErrorDifference, ...]
    attack_changes: tuple[ErrorDifference, ...]


class RobustnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the JSON file.

    Attributes:
        data: Description of the images.
        data_sha256: `Dataset.sha256`.
        test_images: Number of measured test images, spread evenly over all.
        attacked_images: Number of attacked images, spread evenly over these.
        seed: Seed of all random numbers.
        steps: Steps of PGD.
        networks: The networks by name, in the given order.
        versions: Versions of the packages that measured it.
        processor: Instruction sets of the processor that measured it; None if unknown.
    """

    schema: Literal[1] = 1
    data: str
    data_sha256: str
    test_images: int
    attacked_images: int
    seed: int
    steps: int
    networks: dict[str, NetworkRecord]
    versions: dict[str, str]
    processor: Processor | None


def write_report(report: RobustnessReport, file: Path) -> None:
    """Write a report as JSON."""
    write_atomically(file, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_report(file: Path) -> RobustnessReport:
    """Read what `write_report` wrote.

    Raises:
        ModelError: The file is missing or damaged.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=RobustnessReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{file}' cannot be read as a report of robustness: {error}") from error
