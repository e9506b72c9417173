"""Options of the sub-commands of `capsedge reproduce` that train, and the progress of their trainings."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from capsedge.cli.options import DeviceOption, DownloadOption, SetOption, gathered
from capsedge.cli.threads import ThreadsOption
from capsedge.files import check_folder

if TYPE_CHECKING:
    from capsedge.recipe import RoutingKind
    from capsedge.reproduce.cases import PaperSet
    from capsedge.reproduce.trainings import TrainingSettings
    from capsedge.training import Observer

    Trained = tuple[PaperSet, RoutingKind, bool | None]

Width = Literal["table1", "small"]


class Training(NamedTuple):
    """The options of the sub-commands that train; None for the default."""

    data: str | None = None
    width: Width = "table1"
    epochs: int | None = None
    seed: list[int] | None = None
    set_: list[str] | None = None
    runs: Path = Path("runs")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = 0
    download: bool = False

    def settings(self, *, silent: bool, keeps: bool = True) -> "TrainingSettings":
        """The library's settings; checks that it can train and draw, and write the runs if it `keeps` them."""
        from capsedge.errors import require

        if keeps:
            check_folder(self.runs)
        require("torch", extra="paper")
        from capsedge.cli.precision import precision_reporter
        from capsedge.reproduce import TrainingSettings

        return TrainingSettings(
            data=self.data,
            width=self.width,
            epochs=self.epochs,
            seeds=tuple(self.seed or (0,)),
            overrides=tuple(self.set_ or ()),
            runs=self.runs,
            device=self.device,
            threads=self.threads,
            download=self.download,
            watch=_watching(silent=silent),
            on_start=precision_reporter(silent=silent),
        )

    def check(self, chosen: "Iterable[Trained]") -> None:
        """Refuse what the options alone show to be wrong, before a missing package is named.

        Args:
            chosen: The trainings: data set, routing, and whether with a decoder (None for the recipe's own).

        Raises:
            WrongUse: There is no such data set, a seed is given twice, or a value of --set does not fit.
            DataError: The data set is a path, and nothing is there.
        """
        from capsedge.data.load import check_source
        from capsedge.reproduce.cases import check_seeds, recipe_of

        check_seeds(self.seed or (0,))
        for data, kind, decoder in chosen:
            if data.source is not None:
                check_source(data.source)
            recipe_of(data, kind, decoder=decoder, width=self.width, epochs=self.epochs, overrides=self.set_ or ())

    def given(self) -> dict[str, object]:
        """The options that differ from their defaults, by their names on the command line."""
        default = Training()
        return {
            f"--{name.rstrip('_')}": value
            for name, value in self._asdict().items()
            if value != getattr(default, name)
        }


def data_option(default: str) -> Any:
    """The option --data of a command whose default data is `default`."""
    return Annotated[
        str | None,
        typer.Option(
            help="mnist, fashion-mnist, cifar-10, multi-mnist, multi-fashion-mnist, or a folder.  "
            f"[dim]\\[default: {default}][/dim]",
            show_default=False,
        ),
    ]


ONE_SEED = Annotated[
    list[int] | None, typer.Option(help="Seed of the trainings.  [dim]\\[default: 0][/dim]", show_default=False)
]
_OPTIONS: dict[str, Any] = {
    "data": data_option("fashion-mnist"),
    "width": Annotated[Width, typer.Option(help="Width of the networks: that of Table I, or one for a CPU.")],
    "epochs": Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Epochs of each training; fewer than the recipe's are marked in the result.  "
            "[dim]\\[default: the recipe's][/dim]",
            show_default=False,
        ),
    ],
    "seed": Annotated[
        list[int] | None,
        typer.Option(
            help="Seed of a training; repeat for several trainings.  [dim]\\[default: 0][/dim]", show_default=False
        ),
    ],
    "set_": SetOption,
    "runs": Annotated[Path, typer.Option(help="Folder of the runs.")],
    "device": DeviceOption,
    "threads": ThreadsOption,
    "download": DownloadOption,
}


def training_options(*without: str, **other: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter `training` by the options of `Training`.

    Args:
        without: Names of options that the command does not have.
        other: Annotations that replace the usual ones, by name.
    """
    options = {
        name: (annotation, Training._field_defaults[name])
        for name, annotation in (_OPTIONS | other).items()
        if name not in without
    }
    return gathered("training", Training, options)


def _watching(*, silent: bool) -> Callable[[str], Any]:
    @contextmanager
    def watch(title: str) -> "Iterator[Observer]":
        from capsedge.cli.console import say
        from capsedge.cli.progress import TrainingProgress

        if not silent:
            say(f"training {title}")
        with TrainingProgress(silent=silent) as progress:
            yield progress

    return watch
