"""`capsedge inspect`: what a model is, promises and was found to be, without running it."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from capsedge.cli.options import JsonOption, model_names
from capsedge.cli.tables import NARROW
from capsedge.errors import ModelError

if TYPE_CHECKING:
    from capsedge.cli.described import Row
    from capsedge.contract import Contract, Layer, Score
    from capsedge.runtime.inspection import Inspection

EXAMPLES = """
[bold]Examples[/bold]

capsedge inspect

capsedge inspect runs/my-run

capsedge inspect runs/my-run/model.engine --json | jq .manifest.targets
"""

_MOST_WEIGHTS = 12  # rows for somebody else's file


def inspect(
    model: Annotated[
        str | None,
        typer.Argument(
            help="An .onnx or .engine file, a run's folder, or a model's name (capsedge models).",
            autocompletion=model_names,
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a model takes, gives and costs, where it comes from and what the gate found; runs nothing."""
    from capsedge.cli.console import next_command, print_json, say_chosen
    from capsedge.runtime.inspection import inspect_model

    found = inspect_model(model)
    say_chosen(model, Path(found.file))
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.problems:
        raise ModelError(f"'{found.model}' is not what its contract describes: {'; '.join(found.problems)}")
    if not as_json and found.size_bytes is not None:
        next_command("capsedge", "bench" if found.promises is None else "verify", *([] if model is None else [model]))


def _print(found: "Inspection") -> None:
    from capsedge.cli import described

    contract = found.promises
    _print_rows(described.heading(found), described.the_file(found))
    if contract is None:
        _print_weights(found.weights_bytes)
        return
    _print_rows("Use", described.its_use(contract))
    _print_layers(contract)
    _print_scores(contract.scores)
    if contract.verdict is not None:
        _print_rows("Gate", described.its_verdict(contract.verdict))
        _print_table(
            "Figures of the gate",
            ("figure", "measured", "limit"),
            [*described.its_figures(contract.verdict)],
            numbers=2,
        )
    if found.manifest is not None:
        _print_rows("Engine", described.its_engine(found.manifest))
    _print_rows("Origin", described.its_origin(contract))
    _print_rows("Hashes", described.its_hashes(found))


def _print_layers(contract: "Contract") -> None:
    from capsedge.cli.console import out
    from capsedge.cli.described import share_of

    columns: dict[str, list[str]] = {
        "layer": [_module(layer) for layer in contract.layers],
        "op": [layer.op for layer in contract.layers],
        "type": [layer.type for layer in contract.layers],
        "gives": [layer.output for layer in contract.layers],
        "FLOPs": [f"{layer.flops:,}" for layer in contract.layers],
        "share": [share_of(layer.flops / (contract.flops or 1)) for layer in contract.layers],
        "parameters": [f"{layer.parameters:,}" for layer in contract.layers],
    }
    numbers = 3
    if out.width < NARROW:  # the names of the layers need the room
        numbers = 2
        del columns["op"], columns["share"]
    _print_table("Layers", [*columns], [*zip(*columns.values(), strict=True)], numbers=numbers)


def _module(layer: "Layer") -> str:
    """A layer by its module: the quantizer and torch add words to a weight's name that are the same in each row."""
    return layer.name.removesuffix("_quantized").removesuffix(".weight")


def _print_scores(scores: "Sequence[Score]") -> None:
    """The error of each stage, with the splits side by side."""
    from capsedge.cli.console import percent

    splits = ("validation", "test")
    errors: dict[tuple[str, str], str] = {}
    for score in scores:
        errors[score.stage, score.split] = f"{percent(score.error)} of {score.images:,}"
    stages = dict.fromkeys(score.stage for score in scores)
    rows = [(stage, *(errors.get((stage, split), "") for split in splits)) for stage in stages]
    _print_table("Error", ("stage", *splits), rows, numbers=2)


def _print_weights(weights: dict[str, int]) -> None:
    """The largest weights of a file whose layers nobody wrote down."""
    from capsedge.cli.described import in_bytes

    largest = sorted(weights.items(), key=lambda item: -item[1])
    rows = [(name, in_bytes(size)) for name, size in largest[:_MOST_WEIGHTS]]
    if smaller := [size for _, size in largest[_MOST_WEIGHTS:]]:
        rows.append((f"and {len(smaller)} smaller", in_bytes(sum(smaller))))
    _print_table("Weights", ("name", "size"), rows, numbers=1)


def _print_rows(title: str, rows: "Iterable[Row]") -> None:
    """A heading, and under it a name and a value a line."""
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=14)
    table.add_column(overflow="fold")
    for row in rows:
        table.add_row(Text(f" {row.name}"), Text(row.value, row.style))
    out.print(Text(title, "bold"))
    out.print(table)
    out.print()


def _print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int) -> None:
    """A heading, and a table whose last columns are numbers; nothing where it has no rows."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    if not rows:
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        right = index >= len(header) - numbers
        table.add_column(
            name if index else f" {name}", justify="right" if right else "left", no_wrap=right, overflow="fold"
        )
    for row in rows:
        table.add_row(Text(f" {row[0]}"), *map(Text, row[1:]))
    out.print(Text(title, "bold"))
    out.print(table)
    out.print()
