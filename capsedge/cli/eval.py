"""`capsedge eval`: how often a model errs on labelled images, on which, and how far its lengths can be trusted."""

from collections.abc import Sequence
from csv import writer as csv_writer
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from capsedge.cli.options import AllowFallbackOption, JsonOption, ProviderOption, ThreadsOption, model_names
from capsedge.errors import WrongUse
from capsedge.plural import number_of, plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from capsedge.contract import Contract
    from capsedge.runtime.evaluate.labelled import Labelled, Part
    from capsedge.runtime.evaluate.measure import Evaluated
    from capsedge.runtime.session import Session

EXAMPLES = """
[bold]Examples[/bold]

capsedge eval

capsedge eval runs/my-run --html errors.html

capsedge eval model.int8.onnx --data more-photos/ --compare model.onnx

capsedge eval builtin --data fashion-mnist --json | jq '.mistakes[].name'
"""

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
    from capsedge.cli.console import next_command, print_json, say, say_about, say_chosen
    from capsedge.files import check_writable, write_atomically
    from capsedge.runtime.batches import run_batches
    from capsedge.runtime.evaluate.measure import evaluated
    from capsedge.runtime.models import find_model
    from capsedge.runtime.open import open_session
    from capsedge.runtime.session import contract_needed
    from capsedge.runtime.settings import Settings

    for place, suffix in ((html, ".html"), (csv, ".csv")):
        if place is not None and place.suffix.lower() != suffix:
            raise WrongUse(f"'{place}' wants a name that ends in {suffix}")
        if place is not None:
            check_writable(place)
    settings = Settings(provider=provider, threads=threads, allow_fallback=allow_fallback)
    file = find_model(model)
    say_chosen(model, file)
    with open_session(file, settings) as session:
        say_about(session)
        contract = contract_needed(session)
        images = _images(session, contract, data, part)
        lengths = run_batches(session, images.images).lengths
        found = evaluated(
            lengths,
            images.labels,
            model=session.name,
            data=images.data,
            classes=contract.classes,
            names=images.names,
            remarks=images.remarks,
        )
    if compare is not None:
        beside = find_model(compare)
        say_chosen(compare, beside)
        with open_session(beside, settings) as other:
            found = _beside(other, compare, found, lengths, images, contract, session.file.parent, data, part)
    if html is not None:
        from capsedge.runtime.evaluate.page import page

        write_atomically(html, page(found, images.images))
    if csv is not None:
        write_atomically(csv, _table(images, lengths, contract.classes))
    if as_json:
        print_json(found)
    else:
        _print(found)
    for place in filter(None, (html, csv)):
        say(f"wrote {place}")
    if not as_json and html is None:
        again = [*([model] if model else []), *(["--data", data] if data else [])]
        again += ["--part", part] if part != "test" else []
        next_command("capsedge", "eval", *again, "--html", "errors.html")


def _beside(
    other: "Session",
    name: str,
    found: "Evaluated",
    lengths: "NDArray[np.float32]",
    images: "Labelled",
    contract: "Contract",
    run: Path,
    data: str | None,
    part: "Part",
) -> "Evaluated":
    """The evaluation with another model's answers on the same images, each fitted as that model wants it."""
    from msgspec.structs import replace

    from capsedge.runtime.batches import run_batches
    from capsedge.runtime.evaluate.beside import as_another_takes, order_of_classes
    from capsedge.runtime.evaluate.labelled import source_of_run
    from capsedge.runtime.evaluate.measure import compared
    from capsedge.runtime.session import contract_needed

    wants = contract_needed(other)
    order = order_of_classes(contract, wants, name)
    source = source_of_run(run)
    seen = as_another_takes(
        images, data or str(source), own=_is_own(data, source), part=part, first=contract, other=wants
    )
    remarks = found.remarks
    if seen is not images.images:
        height, width, _ = wants.input.shape
        told = f"{other.name} takes the same images fitted to {width}x{height} pixels ({wants.fit.frame})"
        remarks = (*remarks, told)
    theirs = run_batches(other, seen).lengths[:, order]
    return replace(found, comparison=compared(lengths, theirs, images.labels, model=other.name), remarks=remarks)


def _images(session: "Session", contract: "Contract", data: str | None, part: "Part") -> "Labelled":
    from capsedge.runtime.evaluate.labelled import labelled, of_run, source_of_run, with_copies

    classes, shape, fit = contract.classes, contract.input.shape, contract.fit
    run = session.file.parent
    source = source_of_run(run)
    # The run's own images are divided as they were: it has learned from the rest.
    if _is_own(data, source):
        return of_run(run, classes=classes, shape=shape, fit=fit, part=part)
    if data is None:
        raise WrongUse(f"'{session.name}' lies in no run's folder, so say on which images: --data PLACE")
    found = labelled(data, classes=classes, shape=shape, fit=fit, part=part)
    if source is None:
        return found
    return with_copies(found, run, classes=classes, shape=shape, fit=fit)


def _is_own(data: str | None, source: str | None) -> bool:
    """Whether what is asked for are the images of the model's run."""
    if data is None or source is None:
        return source is not None
    place = Path(data).expanduser()
    return data == source or (place.exists() and str(place.resolve()) == source)


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
        taken = ", ".join(f"{name} {count:,}" for name, count in each.taken_for)
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
