"""Trainings by name: started, resumed after an interruption, or reused if they are finished."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from capsedge.data import Dataset, download
from capsedge.data.known import KNOWN, SUBSET
from capsedge.data.load import dataset_of
from capsedge.errors import DataError, WrongUse
from capsedge.models import primary_capsules
from capsedge.models.routing import with_b0
from capsedge.recipe import Recipe, RoutingKind, to_flat_values
from capsedge.reproduce.cases import PaperSet, Width, check_seeds, paper_set, recipe_of, run_name
from capsedge.run_record import RUNS, is_run
from capsedge.training import Observer, Run, Trainer
from capsedge.training.start import Quiet

# For every training here, so that figure 3 shows the first epochs too, and table 2 and figures 2 and 3 share their
# runs.
VALIDATIONS = "train.validations=4"

Watch = Callable[[str], AbstractContextManager[Observer]]
OnStart = Callable[[Trainer], None]


@contextmanager
def unwatched(_: str) -> Iterator[Observer]:
    """Show no progress of a training."""
    yield Quiet()


def unreported(_: Trainer) -> None:
    """Report nothing at the start of a training."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """The settings of all trainings of one command.

    Attributes:
        data: Name of one of the paper's data sets, another known data set, or a folder; None for Fashion-MNIST.
        width: That of Table I, or the small one.
        epochs: Number of epochs; None for that of each recipe.
        seeds: Seeds; each gives one training.
        overrides: `section.key=value` for every recipe.
        runs: The folder of the run folders.
        device: `auto`, `cpu` or `cuda`.
        threads: See `Trainer`.
        download: Whether to download known data sets that are not on this machine.
        watch: Called with a training's name; gives the observer of its progress.
        on_start: Called with each training before its first step.

    Raises:
        WrongUse: There is no seed, or one is given twice.
    """

    data: str | None = None
    width: Width = "table1"
    epochs: int | None = None
    seeds: tuple[int, ...] = (0,)
    overrides: tuple[str, ...] = ()
    runs: Path = RUNS
    device: str = "auto"
    threads: int = 0
    download: bool = False
    watch: Watch = unwatched
    on_start: OnStart = unreported

    def __post_init__(self) -> None:
        check_seeds(self.seeds)

    def recipe(self, data: PaperSet, kind: RoutingKind, *, seed: int, decoder: bool | None = None) -> Recipe:
        """The recipe of one training; see `recipe_of`."""
        return recipe_of(
            data,
            kind,
            decoder=decoder,
            width=self.width,
            epochs=self.epochs,
            seed=seed,
            overrides=(VALIDATIONS, *self.overrides),
        )

    def recipe_epochs(self, data: PaperSet, recipe: Recipe) -> int:
        """Epochs of a training's shipped recipe."""
        return recipe_of(data, recipe.routing.kind, width=self.width).train.epochs

    def folder(self, data: PaperSet, recipe: Recipe) -> Path:
        """The run folder of a training."""
        return self.runs / run_name(data, recipe, width=self.width, epochs=self.epochs)


def load_images(recipe: Recipe, *, fetch: bool = False) -> Dataset:
    """The images of a recipe.

    Args:
        recipe: The recipe; its section `data` is used.
        fetch: Whether to download a known data set that is not on this machine.

    Raises:
        DataError: They are not on this machine, or damaged.
    """
    if fetch and recipe.data.source in KNOWN:
        download(recipe.data.source)
    return dataset_of(recipe.data)


def load_for_figure(settings: TrainingSettings) -> tuple[PaperSet, Dataset]:
    """The data set of a figure: the full Fashion-MNIST or, if it is not on this machine, the shipped subset.

    Raises:
        DataError: It is not on this machine, or damaged.
    """
    data = paper_set(settings.data)
    dataset = load_images(recipe_of(data, "dynamic", width=settings.width), fetch=settings.download)
    if is_stand_in(dataset, data):
        data = replace(data, name=f"{data.name}-subset", title=f"{data.title} (subset)", source=SUBSET)
    return data, dataset


def is_stand_in(dataset: Dataset, data: PaperSet) -> bool:
    """Whether the shipped subset was loaded in place of a data set that is not on this machine."""
    return dataset.source == SUBSET and SUBSET not in (data.name, data.source)


def full_set_missing(data: PaperSet) -> DataError:
    """The error for a data set whose shipped subset must not be compared with the paper's results."""
    return DataError(
        f"the full data set '{data.name}' is not on this machine",
        f"add --download to download it, or use the subset that ships with capsedge by --data {SUBSET}",
    )


def trained(
    recipe: Recipe,
    folder: Path,
    dataset: Dataset,
    observer: Observer,
    device: str = "auto",
    *,
    threads: int = 0,
    on_start: OnStart = unreported,
) -> Run:
    """A finished run: reused, resumed after an interruption, or trained from the start.

    Args:
        recipe: The recipe.
        folder: The run's folder.
        dataset: The images.
        observer: Receives the training's progress.
        device: `auto`, `cpu` or `cuda`.
        threads: See `Trainer`.
        on_start: Called with the training before its first step.

    Raises:
        WrongUse: The folder has a run of another recipe or of other images, or other files.
        Interrupted: Ctrl-C or a termination signal came; the same call resumes.
    """
    run = Run(folder)
    if finished(recipe, run, dataset):
        return run
    begun = is_run(folder)
    trainer = Trainer(run.read_recipe() if begun else recipe, dataset, run, device=device, threads=threads)
    if begun:
        trainer.resume()
    else:
        trainer.start()
    on_start(trainer)
    trainer.train(observer)
    return run


def finished(recipe: Recipe, run: Run, dataset: Dataset) -> bool:
    """Whether the run is finished.

    Raises:
        WrongUse: The folder has a run of another recipe or of other images, or other files.
    """
    if not is_run(run.path):
        if not run.is_free():
            raise WrongUse(f"'{run.path}' exists and is not a run", "move it away, or give another folder by --runs")
        return False
    found, record = run.read_recipe(), run.read_record()
    if recipe.train.precision == "auto":  # the run has the precision that was chosen at its start
        recipe = structs.replace(recipe, train=structs.replace(recipe.train, precision=found.train.precision))
    routing = with_b0(recipe.routing, primary_capsules(recipe, record.shape))  # likewise
    recipe = structs.replace(recipe, routing=routing)
    if found != recipe:
        raise WrongUse(
            f"run '{run.path}' has another recipe ({_changes(found, recipe)})",
            "give another folder by --runs, or move this run away",
        )
    if record.data_sha256 != dataset.sha256():
        raise WrongUse(
            f"run '{run.path}' was trained on other images ({record.data}) than those in '{dataset.source}' now "
            f"({dataset.description})",
            "give another folder by --runs, or move this run away",
        )
    return record.status == "finished"


def train_all(
    settings: TrainingSettings, data: PaperSet, dataset: Dataset, recipes: Sequence[Recipe]
) -> Iterator[tuple[Recipe, Run]]:
    """Train each recipe without a finished run, in order; the title of each has its number and the total.

    Yields:
        Each recipe with its finished run.
    """
    # All runs are checked first, so that a wrong one is refused before hours of training.
    ready = [finished(recipe, Run(settings.folder(data, recipe)), dataset) for recipe in recipes]
    for number, (recipe, done) in enumerate(zip(recipes, ready, strict=True), 1):
        folder = settings.folder(data, recipe)
        if done:
            yield recipe, Run(folder)
            continue
        with settings.watch(f"{folder} ({number} of {len(recipes)})") as observer:
            run = trained(
                recipe,
                folder,
                dataset,
                observer,
                settings.device,
                threads=settings.threads,
                on_start=settings.on_start,
            )
        yield recipe, run


def _changes(found: Recipe, wanted: Recipe) -> str:
    """The keys that differ, with the value of the run and the requested one."""
    old, new = to_flat_values(found), to_flat_values(wanted)
    return "; ".join(f"{key}: expected {new[key]}, got {old.get(key)}" for key in new if old.get(key) != new[key])
