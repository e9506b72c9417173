"""`capsedge eval`: how often a model errs on labelled images, on which, and how far its lengths can be trusted."""

from collections.abc import Sequence
from csv import writer as csv_writer
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from capsedge.cli.options import AllowFallbackOption, JsonOption, ProviderOption, ThreadsOption, model_names
from capsedge.errors import WrongUse
from capsedge.fit import Frame
from capsedge.plural import number_of, plural

if TYPE_CHECKING:
    from contextlib import ExitStack

    import numpy as np
    from numpy.typing import NDArray

    from capsedge.measure.evaluate.foreign import Layout, Pixels
    from capsedge.measure.evaluate.labelled import Labelled, Part
    from capsedge.measure.evaluate.measure import Evaluated
    from capsedge.measure.evaluate.subject import EvaluatedNetwork
    from capsedge.runtime.settings import Settings

EXAMPLES = """
[bold]Examples[/bold]

capsedge eval

capsedge eval runs/my-run --html errors.html

capsedge eval model.int8.onnx --data more-photos/ --compare model.onnx

capsedge eval resnet.onnx --classes labels.txt --pixels imagenet --data photos/

capsedge eval builtin --data fashion-mnist --json | jq '.mistakes[].name'
"""

FOREIGN_PANEL = "Models without a contract"

_SHOWN = 10  # wrong answers in the terminal
_CLASSES = 40  # rows in the terminal


def eval(  # the command's name
    model: Annotated[
        str | None,
        typer.Argument(
            help="An .onnx or .engine file, a run's folder, or a model's name.  "
            "[dim]\\[default: the newest export][/dim]",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Labelled images, as of train: a folder by class, a .csv, a known data set.  "
            "[dim]\\[default: what the run was tested on][/dim]",
            show_default=False,
        ),
    ] = None,
    part: Annotated[
        Literal["test", "validation", "train", "all"],
        typer.Option(help="Of images that come in parts; others are taken whole."),
    ] = "test",
    compare: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Another model of the same classes, on the same images fitted as it wants them.",
            autocompletion=model_names,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Of somebody else's model: its classes in the order of its outputs, a,b,c or a file with a name on "
            "each line.",
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    pixels: Annotated[
        Literal["unit", "signed", "imagenet", "bytes"] | None,
        typer.Option(
            help="How it wants pixels: 0 to 1, -1 to 1, by ImageNet's mean and deviation, 0 to 255.  "
            r"[dim]\[default: unit, or bytes where it takes integers][/dim]",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            min=0,
            help="Side of its images where the file leaves it open.",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = 0,
    layout: Annotated[
        Literal["nchw", "nhwc"] | None,
        typer.Option(
            help="Order of its input's axes, where the file leaves it open.",
            show_default=False,
            rich_help_panel=FOREIGN_PANEL,
        ),
    ] = None,
    frame: Annotated[Frame, typer.Option(help="How images fill its frame.", rich_help_panel=FOREIGN_PANEL)] = "pad",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE.html", help="Write a page with plots and the wrong images.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write every image with its answer.")] = None,
    provider: ProviderOption = None,
    threads: ThreadsOption = 0,
    allow_fallback: AllowFallbackOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count a model's errors on labelled images: by class, what is taken for what, and what a length is worth."""
    from contextlib import ExitStack

    from capsedge.cli.console import next_command, print_json, say
    from capsedge.files import check_writable, write_atomically
    from capsedge.measure.evaluate.measure import evaluated
    from capsedge.runtime.settings import Settings

    for place, suffix in ((html, ".html"), (csv, ".csv")):
        if place is not None and place.suffix.lower() != suffix:
            raise WrongUse(f"'{place}' wants a name that ends in {suffix}")
        if place is not None:
            check_writable(place)
    settings = Settings(provider=provider, threads=threads, allow_fallback=allow_fallback)
    foreign = _Foreign(classes, pixels, size, layout, frame)
    with ExitStack() as stack:
        subject = _subject(model, settings, foreign, stack)
        images = _images(subject, data, part)
        lengths = subject.lengths(images.images)
        found = evaluated(
            lengths,
            images.labels,
            model=subject.name,
            data=images.data,
            classes=subject.classes,
            names=images.names,
            remarks=(*subject.remarks, *images.remarks),
        )
        if compare is not None:
            other = _subject(compare, settings, foreign, stack)
            found = _beside(subject, other, found, lengths, images, data, part)
    if html is not None:
        from capsedge.measure.evaluate.page import page

        write_atomically(html, page(found, images.images))
    if csv is not None:
        write_atomically(csv, _table(images, lengths, subject.classes))
    if as_json:
        print_json(found)
    else:
        _print(found)
    for place in filter(None, (html, csv)):
        say(f"wrote {place}")
    if not as_json and html is None:
        again = [*([model] if model else []), *(["--data", data] if data else [])]
        again += ["--part", part] if part != "test" else []
        given = {"classes": classes, "pixels": pixels, "size": size, "layout": layout, "compare": compare}
        again += [word for name, value in given.items() if value for word in (f"--{name}", str(value))]
        again += ["--frame", frame] if frame != "pad" else []
        next_command("capsedge", "eval", *again, "--html", "errors.html")


class _Foreign(NamedTuple):
    """What was said of models without a contract."""

    classes: str | None
    pixels: "Pixels | None"
    size: int
    layout: "Layout | None"
    frame: "Frame"


def _subject(model: str | None, settings: "Settings", foreign: _Foreign, stack: "ExitStack") -> "EvaluatedNetwork":
    """What is evaluated: an exported model, somebody else's, or a run that has not been exported."""
    from capsedge.cli.console import say, say_about, say_chosen
    from capsedge.measure.evaluate.foreign import class_names, foreign_subject
    from capsedge.measure.evaluate.subject import subject_of
    from capsedge.runtime.models import exports_in, find_model
    from capsedge.runtime.open import open_session
    from capsedge.runtime.settings import Settings

    file = find_model(model)
    named = class_names(foreign.classes) if foreign.classes is not None else None
    if (file / "run.json").is_file() and not exports_in(file) and not any(file.glob("*.engine")):
        if settings != Settings():
            raise WrongUse(
                f"run '{file}' has no export, so torch evaluates it on the CPU: leave out the options of a runtime, "
                f"or export it first: capsedge export {file}"
            )
        return _as_named(_of_run(file), named)
    say_chosen(model, file)
    session = stack.enter_context(open_session(file, settings))
    say_about(session)
    if session.contract is not None:
        return _as_named(subject_of(session), named)
    if named is None:
        raise WrongUse(
            f"'{session.name}' carries no capsedge contract: name its classes by --classes, in the order of its "
            "outputs"
        )
    for warning in session.warnings:
        say(f"note: {warning}")
    return foreign_subject(
        session, classes=named, pixels=foreign.pixels, size=foreign.size, layout=foreign.layout, frame=foreign.frame
    )


def _as_named(subject: "EvaluatedNetwork", named: tuple[str, ...] | None) -> "EvaluatedNetwork":
    """The subject itself, whose classes have names of their own: those that were given may be no others."""
    if named is not None and {*named} != {*subject.classes}:
        raise WrongUse(
            f"'{subject.name}' carries the names of its classes ({', '.join(subject.classes)}): --classes is of "
            "models that do not"
        )
    return subject


def _of_run(folder: Path) -> "EvaluatedNetwork":
    from capsedge.cli.console import say
    from capsedge.errors import require

    require("torch", extra="train")
    from capsedge.export.subject import subject_of_run
    from capsedge.training import Run

    say(f"note: run '{folder}' has no export: its network is evaluated as it was trained")
    return subject_of_run(Run(folder))


def _images(subject: "EvaluatedNetwork", data: str | None, part: "Part") -> "Labelled":
    from capsedge.measure.evaluate.labelled import labelled, of_run, source_of_run, with_copies

    source = None if subject.run is None else source_of_run(subject.run)
    if subject.run is None or source is None:
        if data is None:
            raise WrongUse(f"'{subject.name}' lies in no run's folder, so say on which images: --data PLACE")
        return labelled(data, subject, part=part)
    # The run's own images are divided as they were: it has learned from the rest.
    if _is_own(data, source):
        return of_run(subject.run, classes=subject.classes, part=part)
    return with_copies(labelled(data or source, subject, part=part), subject.run, classes=subject.classes)


def _is_own(data: str | None, source: str | None) -> bool:
    """Whether what is asked for are the images of the model's run."""
    if data is None or source is None:
        return source is not None
    place = Path(data).expanduser()
    return data == source or (place.exists() and str(place.resolve()) == source)


def _beside(
    first: "EvaluatedNetwork",
    other: "EvaluatedNetwork",
    found: "Evaluated",
    lengths: "NDArray[np.float32]",
    images: "Labelled",
    data: str | None,
    part: "Part",
) -> "Evaluated":
    """The evaluation with another model's answers on the same images, each fitted as that model wants it."""
    import dataclasses

    from msgspec.structs import replace

    from capsedge.measure.evaluate.beside import as_another_takes, order_of_classes
    from capsedge.measure.evaluate.labelled import source_of_run, with_copies
    from capsedge.measure.evaluate.measure import compared

    order = order_of_classes(first, other)
    source = None if first.run is None else source_of_run(first.run)
    seen = as_another_takes(
        images, data or str(source), own=_is_own(data, source), part=part, first=first, other=other
    )
    remarks = (*found.remarks, *(f"{other.name}: {remark}" for remark in other.remarks))
    if other.run is not None and other.run != first.run:
        its = dataclasses.replace(images, images=seen, remarks=())
        learned = with_copies(its, other.run, classes=first.classes).remarks
        remarks = (*remarks, *(f"{other.name}: {remark}" for remark in learned))
    if seen is not images.images:
        height, width, _ = other.shape
        remarks = (
            *remarks,
            f"{other.name} takes the same images fitted to {width}x{height} pixels ({other.fit.frame})",
        )
    theirs = other.lengths(seen)[:, order]
    return replace(found, comparison=compared(lengths, theirs, images.labels, model=other.name), remarks=remarks)


def _table(images: "Labelled", lengths: "NDArray[np.float32]", classes: "Sequence[str]") -> str:
    """Every image with its class, its answer and all lengths."""
    text = StringIO()
    writer = csv_writer(text, lineterminator="\n")
    writer.writerow(["image", "label", "answer", "right", "length", *classes])
    for name, label, row in zip(images.names, images.labels.tolist(), lengths, strict=True):
        answer = int(row.argmax())
        right = "yes" if answer == label else "no"
        numbers = [f"{value:.6f}" for value in (row[answer], *row)]
        writer.writerow([name, classes[label], classes[answer], right, *numbers])
    return text.getvalue()


def _print(found: "Evaluated") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out, percent

    def line(text: str) -> None:
        out.print(text, markup=False, soft_wrap=True)

    line(f"{found.model} on {found.data}")
    line(
        f"error:    {percent(found.error)} of {number_of(found.images, 'image')} (95 %: {percent(found.low)} to "
        f"{percent(found.high)})"
    )
    line(f"balanced: {percent(found.balanced_error)}, every class counted alike")
    if found.comparison:
        other = found.comparison
        change = other.difference
        line(
            f"beside:   {other.model} {percent(other.error)}; the difference is {100 * change.mean:+.2f} points "
            f"({100 * change.low:+.2f} to {100 * change.high:+.2f}), McNemar p = {other.p_value:.3g} "
            f"({other.first_alone:,} wrong by the first alone, {other.other_alone:,} by the other)"
        )
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(" class", overflow="fold")
    for column in ("images", "recall", "precision"):
        table.add_column(column, justify="right")
    table.add_column("taken for", overflow="fold")
    for each in sorted(found.classes, key=lambda one: one.recall if one.recall is not None else 2)[:_CLASSES]:
        taken = ", ".join(f"{name} ({count:,})" for name, count in each.taken_for)
        shares = ("-" if share is None else f"{100 * share:.1f} %" for share in (each.recall, each.precision))
        table.add_row(Text(f" {each.name}"), f"{each.images:,}", *shares, Text(taken))
    out.print(table)
    if (others := len(found.classes) - _CLASSES) > 0:
        line(f"and {number_of(others, 'class')} that {plural(others, 'fares', 'fare')} better")
    for one in found.mistakes[:_SHOWN]:
        line(f"wrong: {one.name}: {one.answer} {one.length:.2f}, is {one.label} {one.length_of_label:.2f}")
    if len(found.mistakes) > _SHOWN:
        line(f"and {len(found.mistakes) - _SHOWN:,} more: --html shows them, --csv and --json list them")
    if found.never_answered:
        line(f"note: never answered: {', '.join(found.never_answered)}")
    for remark in found.remarks:
        line(f"note: {remark}")
