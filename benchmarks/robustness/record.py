"""The record of a measurement: every number of the table, and what it was measured with."""

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
        kind: The condition or the attack; `strongest` is an image that any of the attacks turned, or none needed to.
        amount: See `conditions.Condition`; of an attack epsilon, the largest change of a value of 0 to 1.
        images: How many.
        error: Share of wrong answers.
        standard_error: Of that count (binomial).
        change: The error less that on the same images as they are.
        change_low: Lower end of its 95 % interval, by a bootstrap paired by image.
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
    """The error of a network less that of the first one, on the same images.

    Attributes:
        kind: As in `ErrorRow`.
        amount: Likewise.
        mean: The difference.
        low: Lower end of its 95 % interval, by a bootstrap paired by image.
        high: Upper end.
    """

    kind: ConditionKind | AttackKind
    amount: float | None
    mean: float
    low: float
    high: float


class Blank(msgspec.Struct, frozen=True, kw_only=True):
    """An image of one grey.

    Attributes:
        name: `black`, `grey` or `white`.
        length: Its longest length.
        answer: The class of that capsule.
        rejected: Whether that is below the threshold.
    """

    name: str
    length: float
    answer: str
    rejected: bool


class ForeignRow(msgspec.Struct, frozen=True, kw_only=True):
    """Images of none of the classes, by their longest length; shares are 0 to 1.

    Attributes:
        name: `noise`, or what was given by `--foreign`.
        images: How many.
        above_half: Share of them with a length above 0.5.
        above_half_standard_error: Of that count (binomial).
        auroc: Chance that a test image has a longer capsule than one of these; a half where both are equal.
        auroc_standard_error: By DeLong et al. 1988; None of a single image.
        rejected: Share of them below the threshold.
        rejected_standard_error: Of that count (binomial).
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
    """The longest length from which on an image counts as one of the classes; chosen on the validation images.

    Attributes:
        length: The threshold.
        validation_images: How many it was chosen by.
        validation_kept: Share of them that reach it.
        test_images: How many it is reported on.
        test_kept: Share of them that reach it.
        test_kept_standard_error: Of that count (binomial).
    """

    length: float
    validation_images: int
    validation_kept: float
    test_images: int
    test_kept: float
    test_kept_standard_error: float


class WeakAttack(msgspec.Struct, frozen=True, kw_only=True):
    """A sign that an attack did not find what there is to find.

    Attributes:
        code: `pgd-below-fgsm`: PGD on the margin loss turned fewer images than its one step did. `pgd-withstood`: so
            did it at an epsilon with which nearly every image can be turned. `all-withstood`: so did all attacks
            together. `margin-loss-misses`: all attacks together turned more than PGD on the margin loss.
        epsilon: Of the attack.
        error: Under PGD on the margin loss; of `all-withstood` under all attacks together.
        beside: The error that it is held against: of FGSM; the least that is expected, twice; of all attacks.
    """

    code: FindingCode
    epsilon: float
    error: float
    beside: float


class NetworkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one network.

    Attributes:
        source: `run`, or an exported `file`, which has no gradients.
        provider: What computed it: `torch`, in float32, or the execution provider of a file.
        recipe: Name of the recipe.
        routing: Kind of routing.
        trained_on: The data that it was trained on, in words.
        trained_on_these: Whether its validation images are those of this measurement, as far as is known. Where not,
            it may have been trained on images that are measured here.
        variations: How its training images were varied, by the recipe's keys; None where that is not known.
        conditions: Errors under each condition, `clean` first.
        attacks: Errors under each attack; empty without gradients.
        flat: Share of the attacked images on which the margin loss has a gradient of zero; None without gradients.
        findings: What is odd about the attacks.
        threshold: On the longest length.
        blanks: Images of one grey.
        foreign: Images of none of the classes.
        condition_changes: The errors under each condition less those of the first network; empty for the first.
        attack_changes: Those under each attack, where both have gradients.
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
        data: The images, in words.
        data_sha256: `Dataset.sha256`.
        test_images: How many of the test images, spread evenly over them.
        attacked_images: How many of those were attacked, likewise.
        seed: Of all that is random.
        steps: Of PGD.
        networks: Each by its name, in the order in which they were given.
        versions: Of what measured it.
        processor: The instruction sets of the processor that measured it; None where they are not known.
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
        ModelError: It is missing or damaged.
    """
    try:
        return msgspec.json.decode(file.read_bytes(), type=RobustnessReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{file}' cannot be read as a report of robustness: {error}") from error
