"""A whole training in one call, for programs; `capsedge train` takes the same steps and reports them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capsedge.data.load import dataset_of
from capsedge.errors import WrongUse
from capsedge.files import check_utf8
from capsedge.recipe import DEFAULT_RECIPE, load_recipe, taught
from capsedge.training.checkpoint import Position
from capsedge.training.devices import launch
from capsedge.training.log import Observer
from capsedge.training.run import Run, new_run
from capsedge.training.trainer import Trainer


class Quiet:
    """An observer that does nothing."""

    def started(self, position: Position, epochs: int, batches: int) -> None:
        """See `Observer.started`."""

    def stepped(self, images: int) -> None:
        """See `Observer.stepped`."""

    def measured(self, row: dict[str, Any]) -> None:
        """See `Observer.measured`."""


def train(
    recipe: str | Path = DEFAULT_RECIPE,
    *,
    data: str | Path | None = None,
    settings: Sequence[str] = (),
    folder: str | Path | None = None,
    device: str = "auto",
    observer: Observer | None = None,
) -> Run:
    """Train a network, as `capsedge train` does.

    Args:
        recipe: A shipped recipe's name, or a TOML file.
        data: Name of a known data set, or the path of images (`capsedge.data.load.load_dataset`); None for the
            recipe's.
        settings: Changes of the recipe, as `section.key=value`.
        folder: Folder of the run, which must be absent or empty; None for a new one in `runs/`.
        device: `auto`, `cpu` or `cuda`.
        observer: Receives the progress; None for no observer.

    Returns:
        The finished run: its folder is `path`, its scores are in `read_record()`.

    Raises:
        WrongUse: The recipe, a setting, the data or the folder is invalid.
        DataError: The data is not on this machine, or damaged.
        Interrupted: Ctrl-C was pressed; the state was saved.
        ModelError: The loss is not finite.
    """
    chosen = taught(load_recipe(str(recipe), settings, data=None if data is None else str(data)))
    dataset = dataset_of(chosen.data)
    place = None if folder is None else Path(folder)
    if device not in ("auto", "cpu", "cuda"):
        raise WrongUse(f"device: expected auto, cpu or cuda, got {device!r}")
    check_empty(place)
    group = launch(device)
    with new_run(chosen.name, folder=place) as run:
        trainer = Trainer(chosen, dataset, run, devices=group)
        trainer.start()
    trainer.train(observer or Quiet())
    return run


def check_empty(folder: Path | None) -> None:
    """Refuse a folder for a new run that has other content.

    Raises:
        WrongUse: It exists and is not empty, or it is a file, or its path is not UTF-8, which safetensors needs.
    """
    if folder is not None:
        check_utf8(folder)
    if folder is not None and not Run(folder).is_free():
        raise WrongUse(
            f"'{folder}' is not an empty folder", "give a new one to --run, or add --resume to continue it"
        )
