"""What a run's folder says about its training, read without torch: its record, its recipe and its images."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from capsedge.contract import Score
from capsedge.errors import DataError, ModelError, WrongUse
from capsedge.files import RUN_FILE, is_file
from capsedge.fit import Fit
from capsedge.records import DamagedRecord, decoded

if TYPE_CHECKING:
    from capsedge.data import Dataset
    from capsedge.recipe import Recipe

RUNS = Path("runs")
RECIPE = "recipe.toml"


class Teacher(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run that another run learned from.

    Attributes:
        run: Absolute path of its folder.
        sha256: Hash of its best.safetensors.
    """

    run: str
    sha256: str


TrainingCode = Literal["at-chance", "one-answer", "near-chance"]
RemarkCode = Literal["never-answered", "mostly-wrong", "overfitted", "still-falling", "unknown"]


class TrainingWarning(msgspec.Struct, frozen=True, kw_only=True):
    """A reason not to use a trained network.

    Attributes:
        code: For programs; docs/training.md lists all codes.
        text: The warning in words, with what to do.
        error: Validation error, 0 to 1.
        chance: Error of random answers, 0 to 1.
    """

    code: TrainingCode
    text: str
    error: float
    chance: float


class TrainingRemark(msgspec.Struct, frozen=True, kw_only=True):
    """A less serious problem of a training.

    Attributes:
        code: For programs; docs/training.md lists all codes.
        text: The remark in words, with what to do.
        classes: Names of the classes that it is about.
        numbers: Its figures by name.
    """

    code: RemarkCode
    text: str
    classes: tuple[str, ...] = ()
    numbers: dict[str, float] = {}


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of run.json.

    Attributes:
        status: `training` (perhaps interrupted) or `finished`.
        classes: Class names in the order of the outputs.
        shape: Height, width and channels of an image.
        fit: How other images are fitted to that shape.
        dark_background: Whether its images show light objects on a dark background (`wants_dark_background`); None in
            a run of an earlier capsedge.
        data: Description of the data set.
        data_source: Known name or absolute path of the data set.
        data_sha256: Hash of all images and labels (`Dataset.sha256`).
        scores: Validation and test errors of the best weights, once finished.
        best_epoch: The epoch, from 1, whose network was kept.
        balanced: Balanced test error: mean over the classes of their test error; None if all classes have as many
            test images, or if images show two classes.
        warnings: Reasons not to use the network.
        remarks: Less serious problems of the training.
        seconds: Training time.
        versions: Versions of capsedge and torch.
        device: Device of the training.
        threads: CPU threads of each process; 0 for torch's number in several processes, and in a run of an earlier
            capsedge.
        teachers: The runs that it learned from, in addition to the labels.
    """

    status: Literal["training", "finished"]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    fit: Fit
    data: str
    data_source: str
    data_sha256: str
    scores: tuple[Score, ...] = ()
    best_epoch: int = 0
    dark_background: bool | None = None
    balanced: float | None = None
    warnings: tuple[TrainingWarning, ...] = ()
    remarks: tuple[TrainingRemark, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str]
    device: str
    threads: int = 0
    teachers: tuple[Teacher, ...] = ()


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run: it has a record, perhaps a damaged one."""
    return is_file(folder / RUN_FILE)


def newest_runs(root: Path) -> list[Path]:
    """The folders of the runs in a folder, the one whose record was written last first."""
    records = sorted(root.glob(f"*/{RUN_FILE}"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
    return [record.parent for record in records]


def read_record(folder: Path) -> RunRecord:
    """Read the record of a run.

    Raises:
        ModelError: It is missing or damaged.
    """
    path = folder / RUN_FILE
    try:
        values = {
            _FORMER_KEYS.get(key, key): each for key, each in decoded(path.read_bytes(), dict[str, Any]).items()
        }
        return decoded(msgspec.json.encode(_with_records(values)), RunRecord)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelError(f"'{folder}' is not a run: it has no {RUN_FILE}", "give the folder of a training") from error
    except DamagedRecord as error:
        raise ModelError(f"'{path}' is damaged: {error}") from error


def read_recipe(folder: Path) -> "Recipe":
    """Read the recipe of a run.

    Raises:
        ModelError: It is missing or damaged.
    """
    from capsedge.recipe import from_values, read_values

    path = folder / RECIPE
    try:
        return from_values(read_values(path), source=str(path))
    except (OSError, ValueError, WrongUse) as error:
        raise ModelError(f"'{path}' cannot be read: {error}") from error


def load_dataset(folder: Path) -> "Dataset":
    """Load the images that a run was trained on, in the same splits.

    Raises:
        DataError: They cannot be loaded, or are no longer the same.
        ModelError: The record or the recipe is missing or damaged.
    """
    from capsedge.data.load import dataset_of

    record, recipe = read_record(folder), read_recipe(folder)
    try:
        dataset = dataset_of(recipe.data, source=record.data_source)
    except (DataError, WrongUse) as error:  # the user did not name this data now: the run does
        raise DataError(
            f"run '{folder}' was trained on {record.data}, and its data '{record.data_source}' cannot be loaded: "
            f"{error.text}",
            error.advice,
        ) from error
    if dataset.sha256() != record.data_sha256:
        raise DataError(
            f"run '{folder}' was trained on {record.data}, and '{record.data_source}' now holds other images "
            f"({dataset.description})",
            "restore the former images",
        )
    return dataset


# Keys of run.json in earlier releases, with their names now.
_FORMER_KEYS = {"dark_ground": "dark_background"}


def _with_records(values: dict[str, Any]) -> dict[str, Any]:
    """The values of run.json with records as remarks, which were texts in earlier releases."""
    remarks = values.get("remarks")
    if isinstance(remarks, list):
        values["remarks"] = [{"code": "unknown", "text": each} if isinstance(each, str) else each for each in remarks]
    return values
