"""The record of a card, card.json; card.md is made from it alone."""

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.robustness.record import RobustnessReport
from capsedge.contract import Calibration, Precision
from capsedge.errors import ModelError
from capsedge.export.card.latency import Latency
from capsedge.measure.evaluate.measure import Bin
from capsedge.processor import Processor
from capsedge.statistics import Difference, MeanSpread
from capsedge.training.run import ZOO_WEIGHTS

CARD = "card.json"
WEIGHTS = ZOO_WEIGHTS


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The images.

    Attributes:
        title: Title of the data set.
        source: Argument of `capsedge train --data`.
        sha256: `Dataset.sha256`.
        classes: Names, in the order of the outputs.
        train: Number of training images.
        validation: Number of validation images, by which the epoch was chosen.
        test: Number of test images, by which nothing was chosen.
        subset: Number of test images that are also in the wheel's subset; 0 for other data.
    """

    title: str
    source: str
    sha256: str
    classes: tuple[str, ...]
    train: int
    validation: int
    test: int
    subset: int


class SeedScore(msgspec.Struct, frozen=True, kw_only=True):
    """One training of the recipe.

    Attributes:
        seed: `train.seed`.
        best_epoch: The epoch, from 1, whose weights were kept.
        validation_error: Validation error of the trained network in torch, 0 to 1.
        test_error: Test error, likewise.
    """

    seed: int
    best_epoch: int
    validation_error: float
    test_error: float


class Seeds(msgspec.Struct, frozen=True, kw_only=True):
    """The trainings that differ only in the seed, the model's own first.

    Attributes:
        runs: The trainings.
        validation_error: Mean over the trainings, with the sample standard deviation.
        test_error: Likewise.
    """

    runs: tuple[SeedScore, ...]
    validation_error: MeanSpread
    test_error: MeanSpread


class TeacherCard(msgspec.Struct, frozen=True, kw_only=True):
    """A teacher of the network.

    Attributes:
        name: Name of the run's folder.
        sha256: SHA-256 of its best.safetensors.
        recipe: File with its recipe, in the model's folder; "" if the run did not exist when the card was made.
    """

    name: str
    sha256: str
    recipe: str


class WrongAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A test image with a wrong answer.

    Attributes:
        image: Index among the test images, from 0.
        label: Index of its class.
        answer: Index of the predicted class.
        length: Length of the answer's capsule.
        length_of_label: Length of the right class's capsule.
    """

    image: int
    label: int
    answer: int
    length: float
    length_of_label: float


class FileResult(msgspec.Struct, frozen=True, kw_only=True):
    """Results of one exported file in ONNX Runtime; on the test images unless stated otherwise.

    Attributes:
        file: File name.
        size_bytes: File size.
        sha256: SHA-256 of the content.
        validation_error: Share of wrong answers on the validation images, 0 to 1.
        test_error: Share on the test images.
        subset_error: Share on the subset's test images; None for other data.
        confusion: Images by their class (row) and the answer (column).
        reliability: Ranges of the longest length that contain images.
        calibration_error: Expected calibration error: the mean over the images of |accuracy - mean length| of their
            range.
        mistakes: The wrong answers with the longest capsules, longest first.
    """

    file: str
    size_bytes: int
    sha256: str
    validation_error: float
    test_error: float
    subset_error: float | None
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[Bin, ...]
    calibration_error: float
    mistakes: tuple[WrongAnswer, ...]


class ClassError(msgspec.Struct, frozen=True, kw_only=True):
    """The error of one class on the test images.

    Attributes:
        label: Index of the class.
        images: Number of its images.
        error: Share of them with another answer, 0 to 1.
        taken_for: The most frequent wrong answers, as class index and number of images.
    """

    label: int
    images: int
    error: float
    taken_for: tuple[tuple[int, int], ...]


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the folder.

    Attributes:
        size_bytes: File size.
        sha256: SHA-256 of the content.
    """

    size_bytes: int
    sha256: str


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The content of card.json.

    Attributes:
        name: Name of the folder.
        recipe: Name of the recipe in recipe.toml.
        routing: Kind of routing.
        command: Command that trains the network.
        data: The images.
        epochs: Epochs of the training.
        seconds: Time of the training.
        device: Device of the training.
        precision_of_training: `fp32` or `bf16`.
        seeds: All trainings of the recipe.
        teachers: The teachers; empty without distillation.
        parameters: Numbers in the weights of the exported network, without biases.
        macs: Multiply-accumulate operations for one image.
        files: Files of the folder, except the card and its pictures.
        measured: Results of each exported file, by precision, including files that are too large for the folder.
        shown: Precision of the file that the sections on classes, lengths and mistakes describe.
        classes: Error of each class, for the file in `shown`.
        int8_change: Error of int8 less that of fp32 by split, with its 95 % interval; empty without both.
        calibration: Calibration of int8; None without int8.
        latency: Latencies by `capsedge bench`.
        robustness: Report of `benchmarks.robustness` on this network; None if it was not measured.
        trained_with: Versions of the packages of the training.
        exported_with: Versions of the packages of the export.
        measured_with: Versions of the packages of the measurement.
        processor: Instruction sets of the processor of the measurement; None if unknown.
    """

    schema: Literal[2] = 2
    name: str
    recipe: str
    routing: str
    command: str
    data: Data
    epochs: int
    seconds: float
    device: str
    precision_of_training: str
    seeds: Seeds
    teachers: tuple[TeacherCard, ...]
    parameters: int
    macs: int
    files: dict[str, FileFacts]
    measured: dict[Precision, FileResult]
    shown: Precision
    classes: tuple[ClassError, ...]
    int8_change: dict[Literal["validation", "test"], Difference]
    calibration: Calibration | None
    latency: tuple[Latency, ...] = ()
    robustness: RobustnessReport | None = None
    trained_with: dict[str, str]
    exported_with: dict[str, str]
    measured_with: dict[str, str]
    processor: Processor | None


def read_card(folder: Path) -> Card:
    """Read a folder's card.json.

    Raises:
        ModelError: The file is missing or damaged.
    """
    file = folder / CARD
    try:
        return msgspec.json.decode(file.read_bytes(), type=Card)
    except FileNotFoundError as error:
        raise ModelError(f"'{folder}' has no {CARD}: python -m benchmarks.card RUN --output {folder}") from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"'{file}' is damaged: {error}") from error
