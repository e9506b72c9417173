"""`capsedge reproduce`: makes the paper's table and figures, with a sub-command for each."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, data_names, model_names
from capsedge.cli.trainings import ONE_SEED, Training, data_option, training_options
from capsedge.cli.usage import CommandGroup
from capsedge.errors import Interrupted, WrongUse
from capsedge.files import check_output_folder

if TYPE_CHECKING:
    from capsedge.reproduce.figures import Content

EXAMPLES = """
[bold]Examples[/bold]

capsedge reproduce table2 --only fashion-mnist --width small

capsedge reproduce fig1 shoe.png --model runs/my-run

capsedge reproduce fig3 --width small --epochs 2
"""

OutOption = Annotated[Path, typer.Option(help="Folder for the figure (PNG) and its numbers (JSON).")]
RedrawOption = Annotated[
    bool, typer.Option("--redraw", help="Draw the figure again from the JSON file in --out; compute nothing.")
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND", help="Kind of routing; repeat for more.  [dim]\\[default: all][/dim]", show_default=False
    ),
]
OUT = Path("reproduced")


reproduce = typer.Typer(
    help="Reproduce a table or a figure of the paper. Finished runs are reused, interrupted ones are resumed.",
    cls=CommandGroup,
    no_args_is_help=True,
)


@reproduce.command(
    epilog="""
[bold]Examples[/bold]

capsedge reproduce table2 --only fashion-mnist --width small --seed 0 --seed 1

capsedge reproduce table2 --data photos/ --epochs 5
"""
)
@training_options(data=data_option("all of them"))
def table2(
    training: Training,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROW",
            help="Rows to train, such as fashion-mnist/l2, mnist or '*/l1-fc'; repeat for more.  "
            "[dim]\\[default: all][/dim]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for table2.json.")] = OUT,
    as_json: JsonOption = False,
) -> None:
    """Table II: the test error of every method on every data set, beside the published one."""
    from capsedge.cli.console import print_json, say
    from capsedge.cli.screens.reproduce import print_table2, say_row
    from capsedge.reproduce.cases import chosen_rows

    rows = chosen_rows(training.data, only or [])
    training.check((data, method.kind, method.decoder) for data, method in rows)
    check_output_folder(out)
    settings = training.settings(silent=as_json)
    from capsedge.reproduce import table2 as measured

    with _resumable():
        table = measured(settings, out, only=only or [], tell=lambda row: say_row(row, settings, silent=as_json))
    if as_json:
        print_json(table)
    else:
        print_table2(table)
    say(f"wrote {out / 'table2.json'}")


@reproduce.command(
    epilog="""
[bold]Examples[/bold]

capsedge reproduce fig1

capsedge reproduce fig1 shoe.png photos/ --model runs/my-run
"""
)
def fig1(
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Image files or folders, 30 images at most.  [dim]\\[default: a test image of each class][/dim]",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set of the test images.  [dim]\\[default: the model's own][/dim]",
            autocompletion=data_names,
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A run's folder, an .onnx or .engine file, or a model's name.  "
            "[dim]\\[default: the built-in model][/dim]",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    out: OutOption = OUT,
    redraw: RedrawOption = False,
    as_json: JsonOption = False,
) -> None:
    """Figure 1: images, each beside the lengths of its class capsules."""

    def check() -> None:
        from capsedge.data.load import check_source
        from capsedge.runtime.models import find_model

        if model is not None:
            find_model(model)
        if data is not None:
            check_source(data)

    def content() -> "Content":
        from capsedge.reproduce import fig1 as lengths

        return lengths(images or [], model=model, data=data)

    given = {"IMAGE": images, "--data": data, "--model": model}
    _figure("fig1", check, content, out, redraw=redraw, given=given, as_json=as_json)


@reproduce.command(
    epilog="""
[bold]Examples[/bold]

capsedge reproduce fig2 --width small --epochs 2

capsedge reproduce fig2 --redraw
"""
)
@training_options(seed=ONE_SEED)
def fig2(training: Training, out: OutOption = OUT, redraw: RedrawOption = False, as_json: JsonOption = False) -> None:
    """Figure 2: reconstructions by DR's decoder, from DR's capsules and from those of an L2 network."""

    def check() -> None:
        from capsedge.reproduce.cases import paper_set

        data = paper_set(training.data)
        training.check([(data, "dynamic", True), (data, "l2", False)])

    def content() -> "Content":
        settings = training.settings(silent=as_json)
        from capsedge.reproduce import fig2 as reconstructions

        return reconstructions(settings)

    _figure("fig2", check, content, out, redraw=redraw, given=training.given(), as_json=as_json)


@reproduce.command(
    epilog="""
[bold]Examples[/bold]

capsedge reproduce fig3 --width small --epochs 2

capsedge reproduce fig3 --kind l2 --kind dynamic --seed 0 --seed 1
"""
)
@training_options()
def fig3(
    training: Training,
    kind: KindOption = None,
    out: OutOption = OUT,
    redraw: RedrawOption = False,
    as_json: JsonOption = False,
) -> None:
    """Figure 3: the validation error against training steps, for every kind of routing."""

    def content() -> "Content":
        settings = training.settings(silent=as_json)
        from capsedge.reproduce import fig3 as convergence

        return convergence(settings, kinds=kind)

    given = {**training.given(), "--kind": kind}
    _figure("fig3", lambda: _check_kinds(training, kind), content, out, redraw=redraw, given=given, as_json=as_json)


@reproduce.command(
    epilog="""
[bold]Examples[/bold]

capsedge reproduce fig4 --rounds 40

capsedge reproduce fig4 --width small --set train.precision=fp32
"""
)
@training_options("epochs", "runs", seed=ONE_SEED)
def fig4(
    training: Training,
    kind: KindOption = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Timed steps of each kind of routing.  [dim]\\[default: 20][/dim]", show_default=False
        ),
    ] = None,
    out: OutOption = OUT,
    redraw: RedrawOption = False,
    as_json: JsonOption = False,
) -> None:
    """Figure 4: the time of 100 training steps and the peak memory, for every kind of routing."""

    def content() -> "Content":
        settings = training.settings(silent=as_json, keeps=False)
        from capsedge.cli.measuring import measuring
        from capsedge.reproduce import fig4 as step_times
        from capsedge.reproduce.step_times import ROUNDS

        with measuring() as progress:
            return step_times(settings, kinds=kind, rounds=rounds or ROUNDS, progress=progress)

    given = {**training.given(), "--kind": kind, "--rounds": rounds}
    _figure("fig4", lambda: _check_kinds(training, kind), content, out, redraw=redraw, given=given, as_json=as_json)


def _check_kinds(training: Training, kinds: list[str] | None) -> None:
    """Refuse wrong options of a figure that trains each kind of routing."""
    from capsedge.reproduce.cases import checked_kinds, paper_set

    data = paper_set(training.data)
    training.check((data, kind, None) for kind in checked_kinds(kinds, data, training.width))


def _figure(
    name: str,
    check: Callable[[], None],
    content: "Callable[[], Content]",
    out: Path,
    *,
    redraw: bool,
    given: Mapping[str, object],
    as_json: bool,
) -> None:
    """Make a figure, or redraw it from its JSON file, and print its numbers; a wrong option is refused first."""
    from capsedge.cli.screens.reproduce import show_figure

    others = [option for option, value in given.items() if value]
    if redraw and others:
        raise WrongUse("--redraw draws from the JSON file in --out", f"leave out {others[0]}")
    check()
    from capsedge.errors import require

    check_output_folder(out)
    require("torch", extra="paper")
    require("matplotlib", extra="paper")  # before hours of training, not after
    from capsedge.reproduce import redraw as draw_again
    from capsedge.reproduce import save_figure

    if redraw:
        made, png = draw_again(out / f"{name}.json")
    else:
        with _resumable():
            made = content()
        png = save_figure(made, out).png
    show_figure(made, png, as_json=as_json)


@contextmanager
def _resumable() -> "Iterator[None]":
    try:
        yield
    except Interrupted as stop:
        raise Interrupted(str(stop), "run the same command again to resume") from stop
