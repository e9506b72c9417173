"""A run: the folder that one training fills and every later step reads.

recipe.toml         what was trained: what was asked for, with the precision that `auto` became
run.json            what it was trained on, how it stands, its scores
metrics.jsonl       loss, error and coefficients over time
tensorboard/        the same for TensorBoard, where `--log tensorboard` asked for it
last.safetensors    everything that `--resume` needs; previous.safetensors is the one before it
best.safetensors    the network with the lowest validation error, or loss (train.best)

recipe.toml holds the precision that was chosen, and never `auto`, since it decides the result: who trains from this
file anew, or goes on with the run on another machine, computes what the run computed. Nothing else holds it.
"""

import os
import platform
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal

import msgspec
import tomli_w
from filelock import FileLock, Timeout

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

RUNS = Path("runs")
ZOO_WEIGHTS = "weights.safetensors"  # what a folder of the zoo has in place of best.safetensors


class Teacher(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run that another learned from.

    Attributes:
        run: Its folder, as an absolute path.
        sha256: Of its best.safetensors.
    """

    run: str
    sha256: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The content of run.json.

    Attributes:
        status: `training` (perhaps interrupted) or `finished`.
        classes: Class names in the order of the outputs.
        shape: Height, width and channels of an image.
        fit: How other images are brought to that shape.
        dark_background: Whether its images show light things on a dark background (`wants_dark_background`); None in
            a run of an earlier capsedge.
        data: The data set, in words.
        data_source: The known name, or the absolute path, that loads the images again.
        data_sha256: Hash of all images and labels (`Dataset.sha256`).
        scores: Validation and test errors of the best weights, once finished.
        best_epoch: The epoch, from 1, whose network was kept.
        balanced: Mean over the classes of the share of test images that get a wrong answer; None where they have
            equally many, or images show two.
        remarks: What went wrong with the training, and what helps, one line each.
        seconds: Time spent training.
        versions: Versions of what trained it.
        device: The device that trained it.
        teachers: The runs that it learned from, beside the labels.
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
    remarks: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str]
    device: str
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
        """Checkpoint to resume from."""
        return self.path / "last.safetensors"

    @property
    def previous(self) -> Path:
        """The checkpoint before it, for when it is damaged; gone once the run is finished."""
        return self.path / PREVIOUS

    @property
    def best(self) -> Path:
        """The network that is kept, by its validation error or its loss (`train.best`)."""
        return self.path / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """Metrics, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def tensorboard(self) -> Path:
        """The folder of event files, of a run that has a log for TensorBoard."""
        return self.path / "tensorboard"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder; the system lifts the lock when the process ends.

        What locks is the system, not that the file `.lock` exists. filelock would take its existence for a lock on a
        file system without locks, and a run whose process was killed would then stay locked.

        Raises:
            ModelError: Another process trains in it; the text names it.
            WrongUse: The folder cannot be locked.
        """
        file = self.path / ".lock"
        lock = FileLock(file, fallback_to_soft=False)
        try:
            held = lock.acquire(blocking=False)
        except Timeout as error:
            raise ModelError(f"run '{self.path}' is being trained by {_trainer_in(file)}") from error
        except OSError as error:
            raise WrongUse(
                f"run '{self.path}' cannot be locked ({error.strerror}): choose a folder that can be written, on a "
                "file system with locks, such as a local disk"
            ) from error
        with held:
            with suppress(OSError):  # who holds it is told where the system lets others read it
                file.write_text(f"{os.getpid()} {platform.node()}", encoding="utf-8")
            yield

    def create(self, recipe: Recipe, record: RunRecord) -> None:
        """Write a new run's recipe, and then its record, with which it is a run.

        Raises:
            WrongUse: Another process has made a run of the folder meanwhile, or is about to.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.locked():
            if (self.path / "run.json").exists():
                raise WrongUse(f"'{self.path}' has become another training's run: give a new folder to --run")
            self.write_recipe(recipe)
            self.write_record(record)

    def is_free(self) -> bool:
        """Whether a new run can be made of the folder: it is absent or empty, or was left by a killed `create`."""
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
            return decoded(msgspec.json.encode(values), RunRecord)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ModelError(
                f"'{self.path}' is not a run: it has no run.json; give a folder that train made"
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
        """The very images that the run was trained on, in the same splits.

        Raises:
            DataError: They are no longer here, or others have taken their place.
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
                f"({dataset.description}): bring the first back"
            )
        return dataset

    def check_best(self) -> None:
        """Refuse a folder without best.safetensors, and say what it is.

        Raises:
            ModelError: The run has no finished epoch, or lost the file, or the folder is one of the zoo.
        """
        if self.best.exists():
            return
        if (self.path / ZOO_WEIGHTS).exists():
            made = shlex.join([str(self.path), str(RUNS / self.path.resolve().name)])
            raise ModelError(
                f"'{self.path}' is not a run but a folder of the zoo, with {ZOO_WEIGHTS} in place of "
                f"{self.best.name}: make one of it by python -m benchmarks.card.weights {made} in a checkout of "
                "capsedge, and give that"
            )
        if self.read_record().status == "finished":
            raise ModelError(
                f"run '{self.path}' is finished, and its {self.best.name} is missing: bring it back, or train it anew"
            )
        raise ModelError(f"run '{self.path}' has no finished epoch yet: go on with capsedge train --resume")

    def load_best(self) -> CapsNet:
        """The network with the weights of the best epoch, in evaluation mode on the CPU.

        Raises:
            ModelError: There are none (`check_best`), or the run is damaged.
        """
        record = self.read_record()
        self.check_best()
        network = build_network(self.read_recipe(), classes=len(record.classes), shape=record.shape)
        load_network(self.best, network)
        return network.eval()


# What an earlier capsedge called keys of run.json.
_FORMER_KEYS = {"dark_ground": "dark_background"}


def _trainer_in(lock: Path) -> str:
    """The process that holds a lock, as far as the file tells."""
    try:
        process, _, machine = lock.read_text(encoding="utf-8").partition(" ")
    except (OSError, UnicodeDecodeError):
        process = machine = ""
    if not process.isdecimal():
        return "another process"
    return f"process {process}" if machine == platform.node() else f"process {process} on {machine}"


@contextmanager
def new_run(name: str, root: Path = RUNS) -> Iterator[Run]:
    """Make a folder that nobody has: root/name, root/name-2, and so on; it goes again if nothing is put into it."""
    for number in count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir(parents=True)  # the check and the taking in one, so that two trainings never share a folder
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
    """The run that was written to last, of those with one of the given statuses.

    Raises:
        ModelError: There is none.
    """
    wanted = tuple(status)
    for record in sorted(root.glob("*/run.json"), key=lambda path: path.stat().st_mtime_ns, reverse=True):
        run = Run(record.parent)
        with suppress(ModelError):  # a damaged run is told of when it is named
            if run.read_record().status in wanted:
                return run
    if wanted == ("training",) and any(root.glob("*/run.json")):
        raise ModelError(f"there is no unfinished run in '{root}/': all that are there are finished, or damaged")
    raise ModelError(f"there is no {' or '.join(wanted)} run in '{root}/': start one with capsedge train")
