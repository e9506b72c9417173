"""`capsedge models`: the models with a name, what they cost, how often they err, and whether they are here."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from capsedge.cli.options import JsonOption
from capsedge.cli.tables import NARROW
from capsedge.errors import ModelError

if TYPE_CHECKING:
    from capsedge.runtime.models import Available

EXAMPLES = """
[bold]Examples[/bold]

capsedge models

capsedge infer shoe.png --model edge-small.int8

capsedge models --json | jq '.models[] | select(.folder) | .name'
"""

_PRECISIONS = ("fp32", "int8")  # that have a column


def models(as_json: JsonOption = False) -> None:
    """List the models with a name, built in and of the zoo: their cost, size and test error, and which are here."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.runtime.models import GET_ZOO, list_models, zoo_folder

    found, zoo = list_models(), zoo_folder()
    if as_json:
        print_json({"zoo": None if zoo is None else str(zoo), "builtin": _default(found), "models": found})
    else:
        _print(found)
        if missing := [each.name for each in found if each.folder is None]:
            say(f"not here: {', '.join(missing)}; {GET_ZOO}")
    if altered := [f"{each.folder}/{file}" for each in found for file in each.altered]:
        raise ModelError(f"not the files that this capsedge lists, their SHA-256 differ: {', '.join(altered)}")
    if not as_json and (here := [each.name for each in found if each.folder]):
        next_command("capsedge", "inspect", here[-1])


def _print(found: "Sequence[Available]") -> None:
    from rich import box
    from rich.table import Table

    from capsedge.cli.console import out
    from capsedge.runtime.models import BUILTIN_NAME

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(" model", no_wrap=True)
    wide = out.width >= NARROW  # a narrow terminal gets the error below the size, and no operations
    for name in ("parameters", *(("MMAC",) if wide else ()), *_PRECISIONS):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("where", no_wrap=True)
    for model in found:
        cells = (_cell(model, precision, ", " if wide else ",\n") for precision in _PRECISIONS)
        cost = [f"{model.parameters:,}", *([f"{model.macs / 1e6:.2f}"] if wide else [])]
        table.add_row(f" {model.name}", *cost, *cells, _where(model))
    out.print(table)
    out.print()
    if default := _default(found):
        out.print(f" {BUILTIN_NAME} is another name of {default}", markup=False)
    for line in _tested(found):
        out.print(f" {line}", markup=False)


def _cell(model: "Available", precision: str, between: str) -> str:
    """Size and test error of a model's file in a precision."""
    from capsedge.cli.console import percent
    from capsedge.cli.described import in_bytes

    file = next((each for each in model.files if each.precision == precision), None)
    if file is None:
        return "-"
    return in_bytes(file.size_bytes) + ("" if file.test_error is None else f"{between}{percent(file.test_error)}")


def _where(model: "Available") -> str:
    if model.altered:
        return "altered"
    return model.origin if model.folder else "not here"


def _default(found: "Iterable[Available]") -> str | None:
    """The model that `builtin` names; None in an installation without it."""
    from capsedge.runtime.models import DEFAULT_MODEL

    return next((each.name for each in found if each.origin == "built in" and each.name == DEFAULT_MODEL), None)


def _tested(found: "Iterable[Available]") -> Iterable[str]:
    """What the errors were counted on."""
    names: dict[tuple[str, int], list[str]] = {}
    for model in found:
        names.setdefault((model.data, model.test_images), []).append(model.name)
    for (data, images), tested in names.items():
        yield f"Test error on {data}, {images:,} images: {', '.join(tested)}"
