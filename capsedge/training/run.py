"""A run: the folder that a training writes and every later step reads.

recipe.toml         the recipe of the training, with the precision that was chosen for `auto`
run.json            data, status and scores
metrics.jsonl       loss, error and coefficients over time
tensorboard/        the same for TensorBoard, with `--log tensorboard`
last.safetensors    the checkpoint for `--resume`; previous.safetensors is the one before it
best.safetensors    the network that is kept, chosen by the validation images (train.best)

recipe.toml has the precision that was chosen, never `auto`, because the precision changes the result: a training from
this file, or the resumed run on another machine, computes what the run computed. No other file has it.
"""

import shlex
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w

from capsedge.contract import Score
from capsedge.data import Dataset
from capsedge.data.load import dataset_of
from capsedge.errors import DataError, ModelError, WrongUse
from capsedge.files import write_atomically
from capsedge.fit import Fit
from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, from_values, read_values, to_values
from capsedge.records import DamagedRecord, decoded
from capsedge.training.checkpoint import PREVIOUS, load_network
from capsedge.training.lock import locked, trained_by

RUNS = Path("runs")
ZOO_WEIGHTS = "weights.safetensors"  # the weights in a folder of the zoo, in place of best.safetensors


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


class Run:
    """A run folder.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def last(self) -> Path:
        """The checkpoint to resume from."""
        return self.path / "last.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before it, in case it is damaged; removed once the run is finished."""
        return self.path / PREVIOUS

    @property
    def best(self) -> Path:
        """The network that is kept, chosen by the validation images (`train.best`)."""
        return self.path / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """Metrics, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The folder of event files for TensorBoard, if the run has any."""
        return self.path / "tensorboard"

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from training in this folder; see `capsedge.training.lock.locked`."""
        return locked(self.path)

    def trained_by(self) -> str | None:
        """The process that trains in this folder now; see `capsedge.training.lock.trained_by`."""
        return trained_by(self.path)

    def create(self, recipe: Recipe, record: RunRecord) -> None:
        """Write a new run's recipe, and then its record, which makes the folder a run.

        Raises:
            WrongUse: The folder has other content, perhaps of another process since it was checked.
            ModelError: Another process is about to.
        """
        self._check_free()  # also before the lock, whose file makes anyone's recipe.toml look like a leftover
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            self._check_free()
            self.write_recipe(recipe)
            self.write_record(record)

    def _check_free(self) -> None:
        if (self.path / "run.json").exists():
            raise WrongUse(f"'{self.path}' is now the run of another training: give a new folder to --run")
        if not self.is_free():
            raise WrongUse(f"'{self.path}' is not an empty folder: give a new one to --run")

    def is_free(self) -> bool:
        """Whether the folder can become a new run: it is absent or empty, or left over from a killed `create`."""
        if not self.path.is_dir():
            return not self.path.exists()
        left = {each.name for each in self.path.iterdir() if each.suffix != ".part"}
        return left <= {".lock", "recipe.toml"} and (not left or ".lock" in left)

    def write_recipe(self, recipe: Recipe) -> None:
        """Replace recipe.toml."""
        write_atomically(self.path / "recipe.toml", tomli_w.dumps(to_values(recipe)))

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json."""
        write_atomically(self.path / "run.json", msgspec.json.format(msgspec.json.encode(record)))

    def read_record(self) -> RunRecord:
        """Read run.json.

        Raises:
            ModelError: It is missing or damaged.
        """
        path = self.path / "run.json"
        try:
            values = {
                _FORMER_KEYS.get(key, key): each for key, each in decoded(path.read_bytes(), dict[str, Any]).items()
            }
            return decoded(msgspec.json.encode(_with_records(values)), RunRecord)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelError(
                f"'{self.path}' is not a run: it has no run.json; give the folder of a training"
            ) from error
        except DamagedRecord as error:
            raise ModelError(f"'{path}' is damaged: {error}") from error

    def read_recipe(self) -> Recipe:
        """Read recipe.toml.

        Raises:
            ModelError: It is missing or damaged.
        """
        path = self.path / "recipe.toml"
        try:
            return from_values(read_values(path), source=str(path))
        except (OSError, ValueError, WrongUse) as error:
            raise ModelError(f"'{path}' cannot be read: {error}") from error

    def load_dataset(self) -> Dataset:
        """Load the images that the run was trained on, in the same splits.

        Raises:
            DataError: They cannot be loaded, or are no longer the same.
        """
        record = self.read_record()
        try:
            dataset = dataset_of(self.read_recipe().data, source=record.data_source)
        except (DataError, WrongUse) as error:  # the user did not name this data now: the run does
            raise DataError(
                f"run '{self.path}' was trained on {record.data}, and its data '{record.data_source}' cannot be "
                f"loaded: {error}"
            ) from error
        if dataset.sha256() != record.data_sha256:
            raise DataError(
                f"run '{self.path}' was trained on {record.data}, and '{record.data_source}' now holds other images "
                f"({dataset.description}): restore the former images"
            )
        return dataset

    def check_best(self) -> None:
        """Refuse a folder without best.safetensors.

        Raises:
            ModelError: The run has no finished epoch, or the file was removed, or the folder is one of the zoo.
        """
        if self.best.exists():
            return
        if (self.path / ZOO_WEIGHTS).exists():
            made = shlex.join([str(self.path), str(RUNS / self.path.resolve().name)])
            raise ModelError(
                f"'{self.path}' is not a run but a folder of the zoo, with {ZOO_WEIGHTS} in place of "
                f"{self.best.name}: make a run from it with python -m benchmarks.card.weights {made} in a checkout "
                "of capsedge, and give that run"
            )
        if self.read_record().status == "finished":
            raise ModelError(
                f"run '{self.path}' is finished, and its {self.best.name} is missing: restore it, or train again"
            )
        raise ModelError(f"run '{self.path}' has no finished epoch yet: continue it with capsedge train --resume")

    def load_best(self) -> CapsNet:
        """The network with the weights of the best epoch, in evaluation mode on the CPU.

        Raises:
            ModelError: There are no such weights (`check_best`), or the run is damaged.
        """
        record = self.read_record()
        self.check_best()
        network = build_network(self.read_recipe(), classes=len(record.classes), shape=record.shape)
        load_network(self.best, network)
        return network.eval()


# Keys of run.json in earlier releases, with their names now.
_FORMER_KEYS = {"dark_ground": "dark_background"}


def _with_records(values: dict[str, Any]) -> dict[str, Any]:
    """The values of run.json with records as remarks, which were texts in earlier releases."""
    remarks = values.get("remarks")
    if isinstance(remarks, list):
        values["remarks"] = [{"code": "unknown", "text": each} if isinstance(each, str) else each for each in remarks]
    return values


def status_in_words(record: RunRecord, trained_by: str | None) -> str:
    """The status of a run for people, with what its lock says (`Run.trained_by`)."""
    if record.status == "finished":
        return "finished"
    if trained_by is None:
        return "not finished"
    return "being trained" if trained_by else "interrupted"


@contextmanager
def new_run(name: str, root: Path = RUNS) -> Iterator[Run]:
    """Make a new folder root/name, root/name-2, and so on; it is removed again if it stays empty."""
    for number in count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)  # checks and creates in one step, so that two trainings never share a folder
            break
        except FileExistsError:
            continue
    try:
        yield Run(path)
    finally:
        for folder in (path, root):
            if not any(folder.iterdir()):
                folder.rmdir()


def newest_run(*, status: Iterable[str], root: Path = RUNS) -> Run:
    """The run with one of the given statuses whose run.json was written last.

    Raises:
        ModelError: There is none.
    """
    wanted = tuple(status)
    for record in sorted(root.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        run = Run(record.parent)
        with suppress(ModelError):  # a damaged run is reported when it is named
            if run.read_record().status in wanted:
                return run
    if wanted == ("training",) and any(root.glob("*/run.json")):
        raise ModelError(f"there is no unfinished run in '{root}/': all runs there are finished or damaged")
    raise ModelError(f"there is no {' or '.join(wanted)} run in '{root}/': start one with capsedge train")
