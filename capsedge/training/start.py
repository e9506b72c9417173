"""A whole training in one call, for programs; `capsedge train` has the same steps with words between them."""

from collections.abc import Sequence
from contextlib import nullcontext
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
    """An observer that looks away."""

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
        data: Images: a known data set's name, or a place (`capsedge.data.load.load_dataset`); None for the recipe's.
        settings: Changes of the recipe, as `section.key=value`.
        folder: Where the run goes, a folder that is not there or empty; None for a new one below `runs/`.
        device: `auto`, `cpu` or `cuda`.
        observer: Is told what happens; None for nobody.

    Returns:
        The finished run: its folder is `path`, its scores are in `read_record()`.

    Raises:
        WrongUse: The recipe, a setting, the data or the folder cannot be.
        DataError: The data is not on this machine, or damaged.
        Interrupted: Ctrl-C; the state was saved.
        ModelError: The loss is no longer a number.
    """
    chosen = taught(load_recipe(str(recipe), settings, data=None if data is None else str(data)))
    dataset = dataset_of(chosen.data)
    place = None if folder is None else Path(folder)
    if device not in ("auto", "cpu", "cuda"):
        raise WrongUse(f"device: expected auto, cpu or cuda, got {device!r}")
    check_empty(place)
    group = launch(device)
    with new_run(chosen.name) if place is None else nullcontext(Run(place)) as run:
        trainer = Trainer(chosen, dataset, run, devices=group)
        trainer.start()
    trainer.train(observer or Quiet())
    return run


def check_empty(folder: Path | None) -> None:
    """Refuse a folder that a new run would share with something.

    Raises:
        WrongUse: It is there and not empty, or it is a file, or its path is not UTF-8, which safetensors needs.
    """
    if folder is not None:
        check_utf8(folder)
    if folder is not None and not Run(folder).is_free():
        raise WrongUse(f"'{folder}' is not an empty folder: give a new one to --run, or --resume to go on in it")
