"""`capsedge data`: what a training would see of some images, before it begins."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import JsonOption
from capsedge.errors import WrongUse
from capsedge.fit import Fit, Frame, Levels

if TYPE_CHECKING:
    from capsedge.data import Dataset, Split

EXAMPLES = """
[bold]Examples[/bold]

capsedge data photos/

capsedge data photos/ --size 48 --sheet seen.png

capsedge data digits/ --frame figure --levels full --sheet seen.png

capsedge data mnist --download

capsedge data scans.csv --group 'patient_[0-9]+' --json | jq .remarks
"""


def data(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="A folder of images by class, a .csv with columns path and label, an .npz of arrays, IDX files, "
            "CIFAR archives, or a known data set's name.",
            show_default=False,
        ),
    ],
    size: Annotated[int, typer.Option(min=0, help="data.size: the side to fit images to, in pixels; 0 chooses.")] = 0,
    group: Annotated[
        str, typer.Option(metavar="REGEX", help="data.group: what in the images' names belongs together.")
    ] = "",
    frame: Annotated[
        Frame,
        typer.Option(help="data.frame: how an image fills its frame; figure finds what is on an even background."),
    ] = "pad",
    levels: Annotated[
        Levels, typer.Option(help="data.levels: full spreads the shades of each image from black to white.")
    ] = "as-is",
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw images of every class as the network would see them."),
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch a known data set that is not here.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how images would be divided, fitted and counted, and what is broken, passed over or doubtful."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.data import load_dataset
    from capsedge.data.known import SUBSET
    from capsedge.files import check_writable

    if sheet is not None and sheet.suffix.lower() != ".png":
        raise WrongUse(f"--sheet draws PNG, and was given '{sheet}': give '{sheet.with_suffix('.png')}'")
    if sheet is not None:
        check_writable(sheet)
    if download:
        from capsedge.data import download as fetch

        fetch(place)
    found = load_dataset(place, size=size, group=group, fit=Fit(frame=frame, levels=levels))
    if as_json:
        print_json(_record(found))
    else:
        _print(found)
    if sheet is not None:
        _draw(found, sheet)
        say(f"drawn: {sheet}")
    if found.source == SUBSET != place:
        say(f"note: the full {place} is not on this machine; --download fetches it")
    if not as_json:
        given = {"size": (size, 0), "frame": (frame, "pad"), "levels": (levels, "as-is"), "group": (group, "")}
        options = [f"data.{key}={value}" for key, (value, default) in given.items() if value != default]
        next_command("capsedge", "train", "--data", place, *(word for each in options for word in ("--set", each)))


def _parts(found: "Dataset") -> "dict[str, Split]":
    from capsedge.data import Split

    assert isinstance(found.train, Split)  # nothing is overlapped here
    return {"training": found.train, "validation": found.validation, "test": found.test}


def _counts(found: "Dataset") -> dict[str, dict[str, int]]:
    """Images of each class in each part."""
    return {
        name: {part: int((split.labels == label).sum()) for part, split in _parts(found).items()}
        for label, name in enumerate(found.classes)
    }


def _record(found: "Dataset") -> dict[str, Any]:
    return {
        "name": found.name,
        "description": found.description,
        "shape": found.shape,
        "fit": found.fit,
        "classes": _counts(found),
        "remarks": found.remarks,
        "sha256": found.sha256(),
    }


def _print(found: "Dataset") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    height, width, channels = found.shape
    kind = "grey" if channels == 1 else "colour"
    out.print(f"{found.description}; {width}x{height} pixels, {kind}", markup=False, soft_wrap=True)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(" class", overflow="fold")
    for part in _parts(found):
        table.add_column(part, justify="right")
    for name, counts in _counts(found).items():
        table.add_row(Text(f" {name}"), *(f"{count:,}" for count in counts.values()))
    out.print(table)
    for remark in found.remarks:
        out.print(f"note: {remark}", markup=False, soft_wrap=True)


def _draw(found: "Dataset", place: Path) -> None:
    from io import BytesIO

    from capsedge.data.sheet import sheet as drawn
    from capsedge.files import write_atomically

    buffer = BytesIO()
    drawn(_parts(found)["training"], found.classes).save(buffer, "PNG")
    write_atomically(place, buffer.getvalue())
