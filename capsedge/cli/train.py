"""`capsedge train`: runs Algorithm 1 with progress, metrics and checkpoints, on one or several devices."""

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import to_builtins

from capsedge.cli.options import DeviceOption, DownloadOption, SetOption, data_names
from capsedge.cli.recipe import list_recipes
from capsedge.cli.runs import chosen_run, say_after_training
from capsedge.cli.threads import ThreadsOption, note_load, note_other_threads
from capsedge.errors import Interrupted, WrongUse
from capsedge.plural import number_of
from capsedge.ranks import own_rank
from capsedge.recipe import DEFAULT_RECIPE, load_recipe, shipped_recipes, taught

if TYPE_CHECKING:
    from capsedge.recipe import Recipe
    from capsedge.training import Run, RunRecord, Trainer
    from capsedge.training.devices import Devices

EXAMPLES = """
[bold]Examples[/bold]

capsedge train

capsedge train fashion-mnist-l1 --set train.epochs=5 --set train.precision=fp32

capsedge train --data my-photos/

capsedge train --teacher runs/seed-0 --teacher runs/seed-1

capsedge train --log tensorboard

capsedge train --devices 2

torchrun --nproc-per-node=2 -m -- capsedge train cifar-10-l2

capsedge train --resume
"""


def train(
    recipe: Annotated[
        str | None,
        typer.Argument(
            help=f"A recipe's name (--list), or a TOML file.  [dim]\\[default: {DEFAULT_RECIPE}][/dim]",
            autocompletion=shipped_recipes,
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="A known data set's name; or a folder with a subfolder of images for each class, optionally below "
            "train/, val/ and test/; a .csv with the columns path and label; an .npz; IDX files; CIFAR archives.  "
            "[dim]\\[default: the recipe's][/dim]",
            autocompletion=data_names,
            show_default=False,
        ),
    ] = None,
    set_: SetOption = None,
    teacher: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="RUN",
            help="A finished run with the same classes and image size, to distill from; repeat for the mean of "
            "several runs.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder of the new run, or with --resume of the run to continue.  "
            "[dim]\\[default: runs/RECIPE][/dim]",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the newest unfinished run, or the one in --run, where it stopped."),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List the recipes that ship with capsedge, and exit.")
    ] = False,
    download: DownloadOption = False,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    devices: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of devices, or of processes on a CPU, that share each batch.  "
            "[dim]\\[default: 1, or set by torchrun][/dim]",
            show_default=False,
        ),
    ] = None,
    log: Annotated[
        Literal["tensorboard"] | None,
        typer.Option(
            help="Also write the metrics as TensorBoard event files into RUN/tensorboard; --resume continues it."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the finished run's record as JSON; with --list, the recipes' names.")
    ] = False,
) -> None:
    """Train a capsule network: weights by the margin loss, routing coefficients by the routing objective."""
    from capsedge.cli.console import percent, print_json, say

    if list_:
        list_recipes(as_json=as_json)
        return
    try:
        if resume:
            if not (recipe is None and data is None and set_ is None and teacher is None):
                raise WrongUse("--resume uses the recipe of the run", "leave out RECIPE, --set, --data and --teacher")
            trainer = _resumed(run, device, devices, threads, logged=log is not None)
        else:
            chosen = load_recipe(DEFAULT_RECIPE if recipe is None else recipe, set_ or [], data=data)
            chosen = taught(chosen, teacher or [])
            trainer = _fresh(chosen, run, device, devices, threads, download=download, logged=log is not None)
    except KeyboardInterrupt:  # in the imports, or while the images are loaded
        begun = "interrupted before the training began"
        if resume:
            raise Interrupted(f"{begun}; the run is as it was", "the same command resumes it") from None
        raise Interrupted(f"{begun}: there is no run to resume") from None
    record = _train(
        trainer, device, threads, silent=as_json, logged=log is not None or trainer.run.tensorboard.is_dir()
    )
    if as_json and trainer.devices.first:
        print_json({"run": str(trainer.run.path), "precision": trainer.precision.precision, **to_builtins(record)})
    for score in record.scores:
        say(f"{score.split} error: {_with_interval(score.error, score.images)} on {number_of(score.images, 'image')}")
    if record.balanced is not None:
        say(f"balanced test error: {percent(record.balanced)}, the mean over the classes")
    if trainer.position.epoch < trainer.recipe.train.epochs:
        patience = number_of(trainer.recipe.train.patience, "epoch")
        say(f"stopped after epoch {trainer.position.epoch}: no improvement in {patience} (train.patience)")
    for warning in record.warnings:
        say(f"warning: {warning.text}")
    for remark in record.remarks:
        say(f"advice: {remark.text}")
    say(f"kept: epoch {record.best_epoch} of {trainer.recipe.train.epochs}; run: {trainer.run.path}")
    say_after_training(trainer.run, record)


def _fresh(
    recipe: "Recipe",
    folder: Path | None,
    device: str,
    devices: int | None,
    threads: int,
    *,
    download: bool,
    logged: bool,
) -> "Trainer":
    from capsedge.cli.precision import note_cost
    from capsedge.cli.screens.train import say_start
    from capsedge.data.load import check_source
    from capsedge.errors import require
    from capsedge.files import check_folder
    from capsedge.run_record import RUNS

    if own_rank() == 0:
        check_folder(RUNS if folder is None else folder)
    check_source(recipe.data.source)
    require("torch", extra="train")
    if logged:
        _check_tensorboard()
    if download:
        from capsedge.data import download as fetch

        fetch(recipe.data.source)
    from capsedge.training import Trainer, dataset_of
    from capsedge.training.start import check_empty

    dataset = dataset_of(recipe.data)
    if own_rank() == 0:
        check_empty(folder)
    group = _launched(device, devices)
    with _claimed(recipe.name, folder, group) as run:
        trainer = Trainer(recipe, dataset, run, devices=group, threads=threads)
        trainer.start()
    with _resumable(trainer, device, threads):
        say_start(recipe, trainer)
        note_cost(trainer)
        note_load(str(group.device), threads, processes=group.here)
    return trainer


def _resumed(folder: Path | None, device: str, devices: int | None, threads: int, *, logged: bool) -> "Trainer":
    from capsedge.cli.console import say
    from capsedge.cli.precision import RESUMED, in_words, note_cost

    run = chosen_run(folder, ["training"])
    from capsedge.training import Trainer

    record, recipe = run.read_record(), run.read_recipe()
    if record.status == "finished":
        run.check_best()
        raise WrongUse(f"run '{run.path}' is finished", "export it, or start a new run")
    if logged or run.tensorboard.is_dir():
        _check_tensorboard(run)
    if own_rank() == 0:
        with run.locked():  # refuse a run that another process trains before loading the data
            pass
    dataset = run.load_dataset()
    trainer = Trainer(recipe, dataset, run, devices=_launched(device, devices), threads=threads)
    damaged = trainer.resume()
    if damaged:
        say(f"note: {damaged}; resuming from the checkpoint before it, which gives the same result")
    epoch, step = trainer.position.epoch + 1, trainer.position.step
    say(f"resuming {run.path} ({recipe.name}) at epoch {epoch}, step {step}, in {in_words(trainer.precision)}")
    note_cost(trainer, RESUMED)
    note_other_threads(record)
    note_load(str(trainer.devices.device), threads, processes=trainer.devices.here)
    return trainer


def _check_tensorboard(run: "Run | None" = None) -> None:
    """Check before the training that the log can be written; only the first device writes it.

    Args:
        run: The run to resume.

    Raises:
        MissingExtra: TensorBoard is not installed.
    """
    from capsedge.errors import MissingExtra, require

    if own_rank() != 0:
        return
    try:
        require("torch.utils.tensorboard", extra="tensorboard")
    except MissingExtra as error:
        if run is None or not run.tensorboard.is_dir():
            raise
        advice = f"{error.advice}, or move '{run.tensorboard}' away to continue without that log"
        raise MissingExtra(error.text, advice) from error


def _launched(device: str, devices: int | None) -> "Devices":
    """Start the devices, and switch off the output of all but the first."""
    from capsedge.cli import console
    from capsedge.training import launch

    group = launch(device, devices=devices)
    console.keep_silent(not group.first)
    return group


@contextmanager
def _claimed(name: str, folder: Path | None, group: "Devices") -> "Iterator[Run]":
    """The run's folder: the first device creates it and sends its path to the others."""
    from capsedge.training import Run, new_run
    from capsedge.training.devices import reporting_lost_process

    with new_run(name, folder=folder) if group.first else nullcontext(Run(Path())) as run:
        with reporting_lost_process():
            path = group.told(str(run.path))
        yield Run(Path(path))


def _train(trainer: "Trainer", device: str, threads: int, *, silent: bool, logged: bool) -> "RunRecord":
    from capsedge.cli.console import say
    from capsedge.cli.progress import TrainingProgress
    from capsedge.training.log import Observer, Observers
    from capsedge.training.tensorboard import TensorBoardLog

    with _resumable(trainer, device, threads), ExitStack() as stack:
        observers: list[Observer] = []
        if logged and trainer.devices.first:
            shown_by = shlex.join(["tensorboard", "--logdir", str(trainer.run.tensorboard)])
            say(f"log:    TensorBoard; view it with {shown_by}")
            observers.append(stack.enter_context(TensorBoardLog(trainer.run)))
        observers.append(stack.enter_context(TrainingProgress(silent=silent)))
        return trainer.train(Observers(*observers))


@contextmanager
def _resumable(trainer: "Trainer", device: str, threads: int) -> "Iterator[None]":
    """Add the command that resumes the run, with the options that it does not record, to an interruption."""
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stop:
        words = ["capsedge", "train", "--resume", "--run", str(trainer.run.path)]
        words += ["--devices", str(trainer.devices.count)] if trainer.devices.count > 1 else []
        words += ["--device", device] if device != "auto" else []
        words += ["--threads", str(threads)] if threads else []
        raise Interrupted(str(stop) or "interrupted", f"resume with {shlex.join(words)}") from stop


def _with_interval(error: float, images: int) -> str:
    """An error rate with its 95 % interval, as `eval` prints it."""
    from capsedge.cli.console import percent
    from capsedge.statistics import wilson_interval

    low, high = wilson_interval(round(error * images), images)
    return f"{percent(error)} (95 %: {percent(low)} to {percent(high)})"
