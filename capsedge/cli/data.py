"""`capsedge data`: how a training would split, fit and count images, before it starts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import DownloadOption, JsonOption, data_names
from capsedge.fit import Fit, Frame, Levels
from capsedge.recipe import DEFAULT_RECIPE, SIZE_BY_IMAGES, load_recipe

if TYPE_CHECKING:
    from capsedge.data import Dataset, Split

EXAMPLES = """
[bold]Examples[/bold]

capsedge data photos/

capsedge data photos/ --size 48 --sheet sheet.png

capsedge data digits/ --frame figure --levels full --sheet sheet.png

capsedge data mnist --download

capsedge data scans.csv --group 'patient_[0-9]+' --json | jq '.remarks[].text'
"""


def data(
    place: Annotated[
        str,
        typer.Argument(
            metavar="PLACE",
            help="A folder with a subfolder of images for each class, a .csv with the columns path and label, an "
            ".npz, IDX files, CIFAR archives, or a known data set's name.",
            autocompletion=data_names,
            show_default=False,
        ),
    ],
    size: Annotated[
        int, typer.Option(min=0, help=f"data.size: side of the fitted images in pixels; {SIZE_BY_IMAGES}.")
    ] = 0,
    group: Annotated[
        str,
        typer.Option(
            metavar="REGEX", help="data.group: images with the same match in their names stay in one split."
        ),
    ] = "",
    frame: Annotated[
        Frame,
        typer.Option(help="data.frame: how images are fitted; figure crops to the object on a plain background."),
    ] = "pad",
    levels: Annotated[
        Levels, typer.Option(help="data.levels: full stretches each image's contrast from black to white.")
    ] = "as-is",
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw images of each class as the network sees them."),
    ] = None,
    download: DownloadOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a training would split, fit and count images, and which are broken, skipped or suspicious."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.data import load_dataset
    from capsedge.data.balance import about_balance, is_uneven
    from capsedge.data.known import SUBSET
    from capsedge.data.sheet import SHEET_MARK
    from capsedge.files import check_output

    if sheet is not None:
        check_output(sheet, ".png", mark=SHEET_MARK, command="data --sheet")
    if download:
        from capsedge.data import download as fetch

        fetch(place)
    found = load_dataset(place, size=size, group=group, fit=Fit(frame=frame, levels=levels))
    labels, balance = _parts(found)["training"].labels, load_recipe(DEFAULT_RECIPE, data=place).data.balance
    if as_json:
        print_json({**_record(found), "drawn_equally": balance and is_uneven(labels)})
    else:
        _print(found, about_balance(labels, balance=balance))
    if sheet is not None:
        _draw(found, sheet)
        say(f"wrote {sheet}")
    if found.source == SUBSET != place:
        say(f"note: the full {place} is not on this machine; --download downloads it")
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


def _print(found: "Dataset", about_balance: str) -> None:
    from capsedge.cli.console import out
    from capsedge.cli.tables import Column, print_table

    height, width, channels = found.shape
    kind = "grey" if channels == 1 else "colour"
    out.print(f"{found.description}; {width}x{height} pixels, {kind}", markup=False, soft_wrap=True)
    counts = _counts(found)
    parts = (Column(part, [f"{each[part]:,}" for each in counts.values()], numeric=True) for part in _parts(found))
    print_table([Column("class", [*counts]), *parts])
    for text in (*(each.text for each in found.remarks), *([about_balance] if about_balance else [])):
        out.print(f"note: {text}", markup=False, soft_wrap=True)


def _draw(found: "Dataset", place: Path) -> None:
    from io import BytesIO

    from PIL.PngImagePlugin import PngInfo

    from capsedge.data.sheet import SHEET_MARK
    from capsedge.data.sheet import sheet as drawn
    from capsedge.files import write_atomically

    buffer, said = BytesIO(), PngInfo()
    said.add_text("Software", SHEET_MARK)
    drawn(_parts(found)["training"], found.classes).save(buffer, "PNG", pnginfo=said)
    write_atomically(place, buffer.getvalue())
