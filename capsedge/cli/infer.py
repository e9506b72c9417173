"""`capsedge infer`: classify images from files, folders, globs, archives or standard input."""

import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec.structs import replace

from capsedge.cli.options import JsonOption, finite, model_names, provider_words, session_options
from capsedge.errors import DataError
from capsedge.runtime.settings import DEFAULTS, Settings

if TYPE_CHECKING:
    from capsedge.cli.screens.infer import Tally
    from capsedge.runtime.infer.classify import Broken, DetailedPrediction, Prediction
    from capsedge.runtime.infer.sources import Images
    from capsedge.runtime.infer.visualize import Pictures
    from capsedge.runtime.session import Session

EXAMPLES = """
[bold]Examples[/bold]

capsedge infer shoe.png

capsedge infer photos/ 'scans/**/*.tif' archive.zip --model runs/my-run --top 3

capsedge infer digits.png --model runs/multi-mnist --threshold 0.5 --visualize digits-seen.png

capsedge infer photos/ --json | jq 'select(.length and .length < 0.5)'

find / -name '*.webp' -print0 | capsedge infer --list - --json
"""

_MOST_REPEATED = 3  # images that a proposed command names again; more come from a pattern of the shell


@session_options("provider", "threads", "allow_fallback")
def infer(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Image files, folders (searched at any depth), quoted globs, zip archives, or - for standard input.",
            show_default=False,
        ),
    ] = None,
    listed: Annotated[
        str | None,
        typer.Option(
            "--list",
            metavar="FILE",
            help="File with one path on each line, or separated by NUL bytes; - for standard input.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="An .onnx or .engine file, a run's folder, or a model's name (capsedge models).  "
            "[dim]\\[default: the newest export in runs/, else the built-in model][/dim]",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of classes to list; all classes of the answer are listed.  "
            "[dim]\\[default: the answer and the next best][/dim]",
            show_default=False,
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            metavar="LENGTH",
            help="Answer with every class whose capsule length reaches this, 0 to 1; possibly none.  "
            "[dim]\\[default: as many classes as the training images show][/dim]",
            show_default=False,
        ),
    ] = None,
    invert: Annotated[
        Literal["auto", "yes", "no"],
        typer.Option(
            help="Invert dark-on-light images; auto does so if the model was trained on light-on-dark ones."
        ),
    ] = "auto",
    visualize: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Draw each image with its capsule lengths and reconstruction into this folder, or one image into "
            "FILE.png.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Images in each inference.")] = 32,
    settings: Settings = DEFAULTS,
    as_json: JsonOption = False,
) -> None:
    """Classify images: the class (two for overlapped images), its capsule length, and the next best class."""
    import warnings

    from capsedge.cli.console import next_command, say, say_about, say_chosen, say_provider
    from capsedge.cli.screens.infer import Tally
    from capsedge.runtime.infer.classify import predict
    from capsedge.runtime.infer.sources import STDIN, Images
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session

    # Pillow warns of damaged EXIF data, for example, and reads the image.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    named = Images(images or [], listed)
    pictures = _pictures(visualize, named)
    settings = replace(settings, batch=1 if named.alone else batch)
    tally = Tally()
    file = find_model(model)
    with open_session(file, settings) as session:
        say(f"model: {session.name}")
        say_provider(session)
        say_chosen(model, file)
        say_about(session)
        detailed = predict(
            session,
            named,
            batch=batch,
            top=top,
            threshold=threshold,
            invert=invert,
            read_ahead=not (listed == "-" and batch == 1),
        )
        with closing(detailed), closing(_drawn(detailed, session, pictures, threshold)) as answers:
            _print(answers, tally, named, page=batch, as_json=as_json)
    if not as_json and tally.summary():
        say(tally.summary())
    if warning := tally.warning():
        say(f"note: {warning}")
    if invert == "auto" and (remark := tally.exchanges.remark()):
        say(f"note: {remark}; --invert yes or no applies to all images")
    if tally.images > tally.broken and visualize is not None:
        say(f"wrote {visualize}")
    if tally.broken:
        from capsedge.plural import number_of

        done = "; the others were classified" if tally.broken < tally.images else ""
        raise DataError(f"{tally.broken} of {number_of(tally.images, 'image')} could not be read{done}")
    if as_json:
        return
    if not tally.unreliable:
        next_command("capsedge", "bench", *([] if model is None else [model]), *provider_words(settings))
    elif visualize is None and listed is None and images and len(images) <= _MOST_REPEATED and STDIN not in images:
        again = [*map(str, images), *([] if model is None else ["--model", model]), *provider_words(settings)]
        again += ["--invert", invert] if invert != "auto" else []
        again += [] if threshold is None else ["--threshold", f"{threshold:g}"]
        next_command("capsedge", "infer", *again, "--visualize", "seen.png" if named.alone else "seen")


def _pictures(place: Path | None, images: "Images") -> "Pictures | None":
    if place is None:
        return None
    from capsedge.runtime.infer.visualize import Pictures

    return Pictures(place, alone=images.alone)


def _drawn(
    answers: "Iterator[DetailedPrediction | Broken]",
    session: "Session",
    pictures: "Pictures | None",
    threshold: float | None,
) -> "Generator[Prediction | Broken, None, None]":
    """The predictions, each with its picture if pictures are drawn."""
    from capsedge.runtime.infer.classify import Broken
    from capsedge.runtime.session import contract_needed

    for number, detailed in enumerate(answers, 1):
        if isinstance(detailed, Broken):
            yield detailed
        elif pictures is None:
            yield detailed.prediction
        else:
            file = pictures.keep(number, detailed, contract_needed(session).classes, threshold)
            yield replace(detailed.prediction, picture=str(file))


def _print(
    answers: "Iterator[Prediction | Broken]", tally: "Tally", images: "Images", *, page: int, as_json: bool
) -> None:
    """Print predictions as they arrive, and count them.

    Raises:
        DataError: The only image could not be read.
    """
    from capsedge.cli.console import print_json, say
    from capsedge.cli.screens.infer import Table
    from capsedge.runtime.infer.classify import Broken

    table = Table(page)
    with _progress(images, as_json=as_json) as advance:
        for answer in answers:
            advance()
            tally.add(answer)
            if as_json:
                print_json(answer)
            elif not isinstance(answer, Broken):
                table.add(answer)
            elif images.alone:
                raise DataError(answer.error)
            else:
                say(" ".join(answer.error.split()))
        table.flush()


@contextmanager
def _progress(images: "Images", *, as_json: bool) -> Iterator[Callable[[], object]]:
    """A progress bar on a terminal; rich is loaded for nothing else."""
    if images.alone or not sys.stderr.isatty() or (as_json and sys.stdout.isatty()):
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    from capsedge.bar import FittingProgress
    from capsedge.cli.console import err

    title, bar, count = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    columns = title, bar, count, TextColumn("left"), TimeRemainingColumn()
    # rich redirects stdout to the bar's console, stderr, which is right only where both are the terminal.
    both = sys.stdout.isatty()
    with FittingProgress(*columns, order=(bar, count), console=err, transient=True, redirect_stdout=both) as progress:
        task = progress.add_task("classifying", total=images.count())
        yield lambda: progress.advance(task)
