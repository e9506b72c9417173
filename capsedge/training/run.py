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

import msgspec
import tomli_w

from capsedge.data import Dataset
from capsedge.errors import ModelError, WrongUse
from capsedge.files import RUN_FILE, write_atomically
from capsedge.models import CapsNet, build_network
from capsedge.recipe import Recipe, to_values
from capsedge.run_record import (
    RECIPE,
    RUNS,
    RunRecord,
    is_run,
    load_dataset,
    newest_runs,
    read_recipe,
    read_record,
)
from capsedge.training.checkpoint import PREVIOUS, load_network
from capsedge.training.lock import locked, trained_by

ZOO_WEIGHTS = "weights.safetensors"  # the weights in a folder of the zoo, in place of best.safetensors


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
        """Refuse a folder that cannot become a new run."""
        if is_run(self.path):
            raise WrongUse(f"'{self.path}' is now the run of another training", "give a new folder to --run")
        if not self.is_free():
            raise WrongUse(f"'{self.path}' is not an empty folder", "give a new one to --run")

    def is_free(self) -> bool:
        """Whether the folder can become a new run: it is absent or empty, or left over from a killed `create`."""
        if not self.path.is_dir():
            return not self.path.exists()
        left = {each.name for each in self.path.iterdir() if each.suffix != ".part"}
        return left <= {".lock", RECIPE} and (not left or ".lock" in left)

    def write_recipe(self, recipe: Recipe) -> None:
        """Replace recipe.toml."""
        write_atomically(self.path / RECIPE, tomli_w.dumps(to_values(recipe)))

    def write_record(self, record: RunRecord) -> None:
        """Replace run.json."""
        write_atomically(self.path / RUN_FILE, msgspec.json.format(msgspec.json.encode(record)))

    def read_record(self) -> RunRecord:
        """Read run.json; see `capsedge.run_record.read_record`."""
        return read_record(self.path)

    def read_recipe(self) -> Recipe:
        """Read recipe.toml; see `capsedge.run_record.read_recipe`."""
        return read_recipe(self.path)

    def load_dataset(self) -> Dataset:
        """Load the images that the run was trained on; see `capsedge.run_record.load_dataset`."""
        return load_dataset(self.path)

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
                f"{self.best.name}",
                f"make a run from it with python -m benchmarks.card.weights {made} in a checkout "
                "of capsedge, and give that run",
            )
        if self.read_record().status == "finished":
            raise ModelError(
                f"run '{self.path}' is finished, and its {self.best.name} is missing", "restore it, or train again"
            )
        raise ModelError(f"run '{self.path}' has no finished epoch yet", "continue it with capsedge train --resume")

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


def status_in_words(record: RunRecord, trained_by: str | None) -> str:
    """The status of a run for people, with what its lock says (`Run.trained_by`)."""
    if record.status == "finished":
        return "finished"
    if trained_by is None:
        return "not finished"
    return "being trained" if trained_by else "interrupted"


@contextmanager
def new_run(name: str, root: Path = RUNS, *, folder: Path | None = None) -> Iterator[Run]:
    """Make the folder of a new run, and remove it again if it stays empty.

    Args:
        name: Without `folder`, it is root/name, root/name-2, and so on.
        root: See `name`.
        folder: The folder, absent or `Run.is_free`; one that exists is not removed.
    """
    if folder is None:
        path = _named_folder(name, root)
        made = [path, root]
    else:
        path = folder
        made = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield Run(path)
    finally:
        for each in made:
            if not any(each.iterdir()):
                each.rmdir()


def _named_folder(name: str, root: Path) -> Path:
    for number in count(1):
        path = root / (name if number == 1 else f"{name}-{number}")
        with suppress(FileExistsError):
            path.mkdir(parents=True)  # checks and creates in one step, so that two trainings never share a folder
            break
    return path


def newest_run(*, status: Iterable[str], root: Path = RUNS) -> Run:
    """The run with one of the given statuses whose run.json was written last.

    Raises:
        ModelError: There is none.
    """
    wanted = tuple(status)
    runs = [Run(folder) for folder in newest_runs(root)]
    for run in runs:
        with suppress(ModelError):  # a damaged run is reported when it is named
            if run.read_record().status in wanted:
                return run
    if wanted == ("training",) and runs:
        raise ModelError(f"there is no unfinished run in '{root}/': all runs there are finished or damaged")
    raise ModelError(f"there is no {' or '.join(wanted)} run in '{root}/'", "start one with capsedge train")
