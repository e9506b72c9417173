"""The record of a study: the tables are made from it and nothing else."""

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
        validation_error: Of these weights, 0 to 1.
        test_error: Likewise; None where the test images were not used.
        seconds: Time of the training with its validations, over all sessions.
        precision: `fp32` or `bf16`.
        device: Where it was trained.
        versions: Of what trained it.
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
        name: Of the variant.
        changes: What differs from the base, as `key=value`; empty for the base. Of a teacher there is the name of its
            folder alone.
        cost: Its weights and products.
        trainings: One a seed.
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
        command: What makes it from nothing.
        network: Name of the base's recipe.
        settings: Changes of the base's recipe, as `section.key=value`.
        epochs: Of each training.
        seeds: That were asked for.
        data: The images, in words.
        data_sha256: `Dataset.sha256`.
        validation_images: By which the epochs were chosen.
        test_images: By which nothing was chosen; 0 where they were not used.
        rows: The base first.
        versions: Of what measured the errors.
        processor: The instruction sets of the processor that measured them; None where they are not known.
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
        ModelError: It is missing or damaged, or of the other study.
    """
    try:
        report = msgspec.json.decode(file.read_bytes(), type=AblationReport)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelError(f"'{file}' cannot be read as a report of {study}: {error}") from error
    if report.study != study:
        raise ModelError(f"'{file}' must be a report of {study}, and is one of {report.study}: give another --json")
    return report
