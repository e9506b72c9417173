"""The record of a study, from which the tables are made."""

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.ablation.cost import NetworkCost
from capsedge.errors import ModelError
from capsedge.files import write_atomically
from capsedge.processor import Processor
from capsedge.statistics import Difference, MeanSpread

Study = Literal["parts", "heads"]


class Training(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run.

    Attributes:
        seed: `train.seed`.
        best_epoch: The epoch, from 1, with the lowest validation error, whose weights were kept.
        validation_error: Error of these weights, 0 to 1.
        test_error: Likewise; None where the test images were not used.
        seconds: Time of the training with its validations, over all sessions.
        precision: `fp32` or `bf16`.
        device: Device of the training.
        versions: Versions of the packages of the training.
    """

    seed: int
    best_epoch: int
    validation_error: float
    test_error: float | None
    seconds: float
    precision: str
    device: str
    versions: dict[str, str]


class VariantResult(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, with all seeds that are finished.

    Attributes:
        name: Name of the variant.
        changes: Differences from the base, as `key=value`; empty for the base. A teacher is the name of its folder.
        cost: Its weights and products.
        trainings: One per seed.
        validation_error: Mean over the seeds, with the sample standard deviation.
        test_error: Likewise; None where the test images were not used.
        validation_change: Error less that of the base over the seeds that both have, paired by image and seed, with
            a 95 % interval over the images; None for the base, and without a common seed.
        test_change: Likewise on the test images.
    """

    name: str
    changes: tuple[str, ...]
    cost: NetworkCost
    trainings: tuple[Training, ...]
    validation_error: MeanSpread
    test_error: MeanSpread | None
    validation_change: Difference | None
    test_change: Difference | None


class AblationReport(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the JSON file.

    Attributes:
        study: `parts` or `heads`.
        command: Command that makes the whole record.
        network: Name of the base's recipe.
        settings: Changes of the base's recipe, as `section.key=value`.
        epochs: Epochs of each training.
        seeds: The requested seeds.
        data: Description of the images.
        data_sha256: `Dataset.sha256`.
        validation_images: Number of validation images, by which the epochs were chosen.
        test_images: Number of test images, by which nothing was chosen; 0 where they were not used.
        rows: The variants, the base first.
        versions: Versions of the packages that measured the errors.
        processor: Instruction sets of the processor that measured them; None if unknown.
    """

    schema: Literal[1] = 1
    study: Study
    command: str
    network: str
    settings: tuple[str, ...]
    epochs: int
    seeds: tuple[int, ...]
    data: str
    data_sha256: str
    validation_images: int
    test_images: int
    rows: tuple[VariantResult, ...]
    versions: dict[str, str]
    processor: Processor | None


def write_report(report: AblationReport, file: Path) -> None:
    """Write a report as JSON."""
    write_atomically(file, msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")


def read_report(file: Path, study: Study) -> AblationReport:
    """Read what `write_report` wrote.

    Raises:
        ModelError: The file is missing, damaged or of the other study.
    """
    try:
        report = msgspec.json.decode(file.read_bytes(), type=AblationReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{file}' cannot be read as a report of {study}: {error}") from error
    if report.study != study:
        raise ModelError(f"expected a report of {study}, got one of {report.study} in '{file}': give another --json")
    return report
