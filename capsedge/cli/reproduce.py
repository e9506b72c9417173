"""`capsedge reproduce`: the paper's table and figures, each by one command that goes on where it was stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import model_names
from capsedge.cli.tables import NARROW, widths
from capsedge.errors import Interrupted, WrongUse
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.reproduce.figures import Content
    from capsedge.reproduce.results import Table2, TableRow
    from capsedge.reproduce.trainings import TrainingSettings
    from capsedge.training import Observer

EXAMPLES = """
[bold]Examples[/bold]

capsedge reproduce table2 --only fashion-mnist --width small --seed 0 --seed 1

capsedge reproduce fig1 shoe.png --model runs/my-run

capsedge reproduce fig3 --width small --epochs 2

capsedge reproduce fig4 --set train.precision=fp32 --rounds 40
"""


class What(StrEnum):
    """What can be reproduced."""

    TABLE2 = "table2"
    FIG1 = "fig1"
    FIG2 = "fig2"
    FIG3 = "fig3"
    FIG4 = "fig4"


class Width(StrEnum):
    """How wide the networks are."""

    TABLE1 = "table1"
    SMALL = "small"


_TRAINING = {"--width", "--epochs", "--seed", "--set", "--runs", "--device", "--download"}
# What each takes beside --out, --data and --json; the table is no figure, and cannot be drawn again.
TAKES = {
    What.TABLE2: _TRAINING | {"--only"},
    What.FIG1: {"IMAGE", "--model", "--redraw"},
    What.FIG2: _TRAINING | {"--redraw"},
    What.FIG3: _TRAINING | {"--kind", "--redraw"},
    What.FIG4: {"--width", "--seed", "--set", "--device", "--download", "--kind", "--rounds", "--redraw"},
}


def reproduce(
    what: Annotated[
        What,
        typer.Argument(
            help="table2: test errors beside the published. fig1: capsule lengths of images. fig2: reconstructions. "
            "fig3: validation error against steps. fig4: time of 100 steps, and memory.",
            show_default=False,
        ),
    ],
    images: Annotated[
        list[Path] | None,
        typer.Argument(metavar="IMAGE...", help="fig1: image files or folders, instead of test images."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for figures and numbers.")] = Path("reproduced"),
    data: Annotated[
        str | None,
        typer.Option(
            help="mnist, fashion-mnist, cifar-10, multi-mnist, multi-fashion-mnist, or a folder. "
            "[dim]\\[default: all in table2, else fashion-mnist][/dim]"
        ),
    ] = None,
    width: Annotated[
        Width | None, typer.Option(help="Table I's width, or one for a CPU. [dim]\\[default: table1][/dim]")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs instead of the recipe's; the result is marked.")
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Repeat for more. [dim]\\[default: 0][/dim]")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Change a value of every recipe, as in train."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="ROW", help="table2: rows such as fashion-mnist/l2, mnist or '*/l1-fc'; repeat."),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(metavar="KIND", help="fig3, fig4: kinds of routing; repeat. [dim]\\[default: all][/dim]"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="fig1: a run, an exported model or a model's name.", autocompletion=model_names
        ),
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="fig4: timed steps of each kind. [dim]\\[default: 20][/dim]")
    ] = None,
    runs: Annotated[
        Path | None, typer.Option(help="The folder of the trainings. [dim]\\[default: runs][/dim]")
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda. [dim]\\[default: auto][/dim]")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch known data sets that are not here.")] = False,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Draw the figure again from its JSON; nothing is computed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Reproduce a table or figure of the paper; what was trained before is not trained again."""
    given: dict[str, Any] = {
        "IMAGE": images,
        "--width": width,
        "--epochs": epochs,
        "--seed": seed,
        "--set": set_,
        "--only": only,
        "--kind": kind,
        "--model": model,
        "--rounds": rounds,
        "--runs": runs,
        "--device": device,
        "--download": download,
    }
    named = [name for name, value in given.items() if value] + (["--data"] if data else [])
    _check(what, named, redraw=redraw, device=device)
    if redraw:
        from capsedge.reproduce import redraw as draw_again

        content, png = draw_again(out / f"{what}.json")
        _report(content, png, as_json=as_json)
        return

    from capsedge.errors import require

    require("torch", extra="paper")
    if what is not What.TABLE2:
        require("matplotlib", extra="paper")  # now, and not after hours of training
    from capsedge.cli.precision import precision_reporter
    from capsedge.reproduce import TrainingSettings

    settings = TrainingSettings(
        data=data,
        width="small" if width is Width.SMALL else "table1",
        epochs=epochs,
        seeds=tuple(seed or (0,)),
        overrides=tuple(set_ or ()),
        runs=runs or Path("runs"),
        device=device or "auto",
        download=download,
        watch=_watching(silent=as_json),
        on_start=precision_reporter(silent=as_json),
    )
    try:
        if what is What.TABLE2:
            _table2(settings, out, only or [], as_json=as_json)
        else:
            _figure(what, settings, out, images=images or [], model=model, kinds=kind, rounds=rounds, as_json=as_json)
    except Interrupted as stop:
        raise Interrupted(f"{stop}; the same command goes on") from stop


def _check(what: What, given: list[str], *, redraw: bool, device: str | None) -> None:
    if redraw and (what is What.TABLE2 or given):
        others = f", and was given {given[0]} too" if given else ""
        raise WrongUse(f"--redraw draws fig1 to fig4 again from --out alone{others}: leave one of them out")
    for name in given:
        if name not in TAKES[what] | {"--data"}:
            takers = ", ".join(each for each in What if name in TAKES[each])
            raise WrongUse(f"{name} belongs to {takers}, and reproduce {what} does not take it")
    if device not in (None, "auto", "cpu", "cuda"):
        raise WrongUse(f"--device wants auto, cpu or cuda, and was given '{device}'")


def _watching(*, silent: bool) -> "Callable[[str], Any]":
    @contextmanager
    def watch(title: str) -> "Iterator[Observer]":
        from capsedge.cli.console import say
        from capsedge.cli.progress import TrainingProgress

        if not silent:
            say(f"training {title}")
        with TrainingProgress(silent=silent) as progress:
            yield progress

    return watch


def _table2(settings: "TrainingSettings", out: Path, only: list[str], *, as_json: bool) -> None:
    from capsedge.cli.console import print_json, say
    from capsedge.reproduce import table2

    def tell(row: "TableRow") -> None:
        if not as_json:
            of = f"{len(row.errors)} of {number_of(len(settings.seeds), 'seed')}"
            say(f"{row.name}: test error {_measured(row)} %, {of}")

    table = table2(settings, out, only=only, tell=tell)
    if as_json:
        print_json(table)
    else:
        _print_table2(table)
    say(f"the table as JSON: {out / 'table2.json'}")


def _figure(what: What, settings: "TrainingSettings", out: Path, *, as_json: bool, **options: Any) -> None:
    from capsedge.cli.measuring import measuring
    from capsedge.reproduce import fig1, fig2, fig3, fig4, save_figure
    from capsedge.reproduce.step_times import ROUNDS

    content: Content
    if what is What.FIG1:
        content = fig1(options["images"], model=options["model"], data=settings.data)
    elif what is What.FIG2:
        content = fig2(settings)
    elif what is What.FIG3:
        content = fig3(settings, kinds=options["kinds"])
    else:
        with measuring() as progress:
            content = fig4(settings, kinds=options["kinds"], rounds=options["rounds"] or ROUNDS, progress=progress)
    _report(content, save_figure(content, out).png, as_json=as_json)


def _report(content: "Content", png: Path, *, as_json: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out, print_json, say
    from capsedge.reproduce.figures import rows
    from capsedge.reproduce.step_times import Fig4

    if as_json:
        print_json(content)
    else:
        header, lines = rows(content)
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
        fitted = widths([*zip(header, *lines, strict=True)], out.width - 2 * len(header))
        for number, (column, width) in enumerate(zip(header, fitted, strict=True)):
            table.add_column(column, justify="right" if number else "left", width=width, overflow="fold")
        for line in lines:
            table.add_row(*(Text(each) for each in line))
        out.print(table)
    for warning in content.warnings if isinstance(content, Fig4) else ():
        say(f"note: {warning}")
    say(f"figure: {png}, drawn from {png.with_suffix('.json')}")


def _print_table2(table: "Table2") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out, say

    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    wide = out.width >= NARROW  # a narrow terminal goes without the number of seeds
    names = ("data", "method", "published %", "measured %", *(("seeds",) if wide else ()), "epochs")
    rows = [(row.data, row.method, *_cells(row, seeds=wide)) for row in table.rows]
    fitted = widths([*zip(names, *rows, strict=True)], out.width - 2 * len(names))
    for number, (column, width) in enumerate(zip(names, fitted, strict=True)):
        shown.add_column(column, justify="right" if number > 1 else "left", width=width, overflow="fold")
    last = ""
    for data, *cells in rows:
        shown.add_row(Text(data if data != last else ""), *cells)
        last = data
    out.print(shown)
    for line in _footnotes(table):
        say(line)


def _cells(row: "TableRow", *, seeds: bool) -> list[str]:
    published = "-" if row.published_percent is None else f"{row.published_percent:.2f}{'*' if row.note else ''}"
    if row.error is None:
        return [published, row.status, *([""] if seeds else []), ""]
    epochs = f"{row.epochs} of {row.recipe_epochs}" if row.shortened else str(row.epochs)
    return [published, _measured(row), *([str(len(row.errors))] if seeds else []), epochs]


def _measured(row: "TableRow") -> str:
    assert row.error is not None
    spread = "" if row.error.spread is None else f" ± {100 * row.error.spread:.2f}"
    return f"{100 * row.error.mean:.2f}{spread}"


def _footnotes(table: "Table2") -> Iterator[str]:
    """What a reader must know to set the two columns beside each other."""
    from capsedge.reproduce.cases import in_words

    measured = [row for row in table.rows if row.error is not None]
    size = in_words(table.width, changes=table.changes)
    yield f"test error; measured: mean of the seeds ± their standard deviation, {size}"
    if table.width == "small" and any(row.published_percent is not None for row in measured):
        yield "the published figures are of Table I's width: --width table1"
    for row in measured[:1]:
        yield f"one standard error of a single figure such as {row.name}'s: {100 * (row.standard_error or 0):.2f}"
    if any(row.shortened for row in measured):
        yield "shortened: 'n of m' epochs is fewer than the recipe's m (--epochs)"
    yield from (f"* {note}" for note in dict.fromkeys(row.note for row in table.rows if row.note))
    yield from (f"data: {description}" for description in table.data)
    yield from (f"no data: {reason}" for reason in table.missing)
