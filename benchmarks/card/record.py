"""The record that a card is: every number of card.md stands in card.json, and card.md is made from nothing else."""

from pathlib import Path
from typing import Literal

import msgspec

from benchmarks.robustness.record import Report
from capsedge.contract import Precision
from capsedge.errors import ModelError
from capsedge.measure.evaluate.measure import Bin
from capsedge.processor import Processor
from capsedge.statistics import Difference, MeanSpread
from capsedge.training.run import ZOO_WEIGHTS

CARD = "card.json"
WEIGHTS = ZOO_WEIGHTS


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """The images.

    Attributes:
        title: Of the data set.
        source: What loads it (`capsedge train --data`).
        sha256: `Dataset.sha256`.
        classes: Names, in the order of the outputs.
        train: Number of training images.
        validation: Of validation images, by which the epoch was chosen.
        test: Of test images, by which nothing was chosen.
        subset: Of test images of the subset in the wheel, which are among the others; 0 where the data is another.
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
        validation_error: Of the trained network in torch, 0 to 1.
        test_error: Likewise.
    """

    seed: int
    best_epoch: int
    validation_error: float
    test_error: float


class Seeds(msgspec.Struct, frozen=True, kw_only=True):
    """The trainings that differ in the seed alone, the model's own first.

    Attributes:
        runs: Each of them.
        validation_error: Mean over them, with the sample standard deviation.
        test_error: Likewise.
    """

    runs: tuple[SeedScore, ...]
    validation_error: MeanSpread
    test_error: MeanSpread


class TeacherCard(msgspec.Struct, frozen=True, kw_only=True):
    """A run that the network learned from.

    Attributes:
        name: Of its folder.
        sha256: Of its best.safetensors.
        recipe: File with its recipe, in the model's folder; "" where the run was gone when the card was made.
    """

    name: str
    sha256: str
    recipe: str


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A test image with a wrong answer.

    Attributes:
        image: Its place among the test images, from 0.
        label: Number of its class.
        answer: Number of the class that was answered.
        length: Length of the answer's capsule.
        length_of_label: Length of the right class's capsule.
    """

    image: int
    label: int
    answer: int
    length: float
    length_of_label: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What one exported file answered, in ONNX Runtime; on the test images where nothing else is said.

    Attributes:
        file: Its name.
        size_bytes: Its size.
        sha256: Of its content.
        validation_error: Share of wrong answers on the validation images, 0 to 1.
        test_error: On the test images.
        subset_error: On the subset's test images; None where the data is another.
        confusion: Images by their class (row) and the answer (column).
        reliability: Ranges of the longest length, those with images.
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
    mistakes: tuple[Mistake, ...]


class ClassError(msgspec.Struct, frozen=True, kw_only=True):
    """How one class fares among the test images.

    Attributes:
        label: Its number.
        images: How many there are.
        error: Share of them with another answer, 0 to 1.
        taken_for: The classes that they are most often taken for, by number and images.
    """

    label: int
    images: int
    error: float
    taken_for: tuple[tuple[int, int], ...]


class FileFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the folder.

    Attributes:
        size_bytes: Its size.
        sha256: Of its content.
    """

    size_bytes: int
    sha256: str


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a report of `capsedge bench`, of a file with the SHA-256 of a measured one.

    Attributes:
        file: Name of the file.
        batch: Images in a query.
        threads: Threads of ONNX Runtime.
        iterations: Timed queries.
        p50_ms: Median latency of a query.
        p90_ms: The 90th percentile; None where the iterations were too few for it.
        p99_ms: Likewise.
        images_per_second: Throughput.
        cpu: Model of the processor.
        processor: Its instruction sets; None where they are not known.
        provider: Execution provider.
        created: Date and time in UTC.
        doubts: What makes the figures weaker than they look.
    """

    file: str
    batch: int
    threads: int
    iterations: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    images_per_second: float
    cpu: str
    processor: Processor | None
    provider: str
    created: str
    doubts: tuple[str, ...]


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The content of card.json.

    Attributes:
        name: Of the folder.
        recipe: Name of the recipe, which recipe.toml holds.
        routing: Kind of routing.
        command: What trains the network from nothing.
        data: The images.
        epochs: Epochs of the training.
        seconds: Time of the training.
        device: Where it was trained.
        precision_of_training: `fp32` or `bf16`.
        seeds: All trainings of the recipe.
        teachers: What it learned from, beside the labels.
        parameters: Numbers in the weights of the exported network, without biases.
        macs: Multiply-accumulate operations for one image.
        files: What lies in the folder, apart from the card and its pictures.
        measured: Of each exported file, by precision, also where the file is too large to lie in the folder.
        shown: The precision whose answers the sections on classes, lengths and mistakes describe.
        classes: Each class, by the answers of `shown`.
        int8_change: Error of int8 less that of fp32 by split, with its 95 % interval; empty without both.
        calibration: How int8's ranges were found, in words.
        latency: By `capsedge bench`.
        robustness: What `benchmarks.robustness` found of this network; None where it was not measured.
        trained_with: Versions of what trained it.
        exported_with: Versions of what exported it.
        measured_with: Versions of what measured it.
        processor: The instruction sets of the processor that measured it; None where they are not known.
    """

    schema: Literal[1] = 1
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
    measured: dict[Precision, Measured]
    shown: Precision
    classes: tuple[ClassError, ...]
    int8_change: dict[Literal["validation", "test"], Difference]
    calibration: str
    latency: tuple[Latency, ...] = ()
    robustness: Report | None = None
    trained_with: dict[str, str]
    exported_with: dict[str, str]
    measured_with: dict[str, str]
    processor: Processor | None


def read_card(folder: Path) -> Card:
    """Read a folder's card.json.

    Raises:
        ModelError: It is missing or damaged.
    """
    file = folder / CARD
    try:
        return msgspec.json.decode(file.read_bytes(), type=Card)
    except FileNotFoundError as error:
        raise ModelError(f"'{folder}' has no {CARD}: python -m benchmarks.card RUN --output {folder}") from error
    except msgspec.MsgspecError as error:
        raise ModelError(f"'{file}' is damaged: {error}") from error
