"""The table of `capsedge models`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from capsedge.cli import console
from capsedge.cli.console import percent
from capsedge.cli.screens.contract import in_bytes
from capsedge.cli.tables import Column, print_table
from capsedge.runtime.models import BUILTIN_NAME, DEFAULT_MODEL

if TYPE_CHECKING:
    from capsedge.runtime.models import Available

_PRECISIONS = ("fp32", "int8")  # with a column each


def print_models(found: "Sequence[Available]") -> None:
    """Print a row for each model, and the data behind the test errors."""
    print_table(
        [
            Column("model", [model.name for model in found]),
            Column("parameters", [f"{model.parameters:,}" for model in found], numeric=True),
            Column("MMAC", [f"{model.macs / 1e6:.2f}" for model in found], numeric=True, optional=1),
            *(Column(each, [_size_and_error(model, each) for model in found], numeric=True) for each in _PRECISIONS),
            Column("where", [_where(model) for model in found]),
        ]
    )
    console.out.print()
    if default := default_of(found):
        console.out.print(f" {BUILTIN_NAME} is another name of {default}", markup=False)
    for line in _tested(found):
        console.out.print(f" {line}", markup=False)


def default_of(found: "Iterable[Available]") -> str | None:
    """The model with the alias `builtin`; None in an installation without it."""
    return next((each.name for each in found if each.origin == "built in" and each.name == DEFAULT_MODEL), None)


def _size_and_error(model: "Available", precision: str) -> str:
    """Size and test error of a model's file in a precision."""
    file = next((each for each in model.files if each.precision == precision), None)
    if file is None:
        return "-"
    return in_bytes(file.size_bytes) + ("" if file.test_error is None else f",\n{percent(file.test_error)}")


def _where(model: "Available") -> str:
    if model.altered:
        return "altered"
    return model.origin if model.folder else "not here"


def _tested(found: "Iterable[Available]") -> Iterable[str]:
    """The data and number of images of the test errors; with the models only where they differ."""
    names: dict[tuple[str, int], list[str]] = {}
    for model in found:
        names.setdefault((model.data, model.test_images), []).append(model.name)
    for (data, images), tested in names.items():
        which = f": {', '.join(tested)}" if len(names) > 1 else ""
        yield f"Test error on {data}, {images:,} images{which}"
