"""A figure is two files: a JSON file with all of its content, and a PNG file that is drawn from the JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from capsedge.errors import DataError
from capsedge.files import write_atomically
from capsedge.records import DamagedRecord, decoded
from capsedge.reproduce import capsule_lengths, convergence, reconstructions, step_times
from capsedge.reproduce.drawing import save_png, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Content = capsule_lengths.Fig1 | reconstructions.Fig2 | convergence.Fig3 | step_times.Fig4


class FigureFiles(NamedTuple):
    """Paths of a figure's files."""

    json: Path
    png: Path


def save_figure(content: Content, out: Path) -> FigureFiles:
    """Write a figure's JSON file into a folder, and draw its PNG from that file."""
    path = out / f"{content.__struct_config__.tag}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(content)))
    return FigureFiles(path, redraw(path)[1])


def redraw(path: Path) -> tuple[Content, Path]:
    """Draw a figure again from its JSON file, into the same folder.

    Raises:
        DataError: The file cannot be read, or is not the figure that its name says.
    """
    content = read_figure(path)
    if (kind := content.__struct_config__.tag) != path.stem:
        raise DataError(f"expected the numbers of {path.stem} in '{path}', got those of {kind}")
    png = path.with_suffix(".png")
    with styled():
        save_png(_draw(content), png)
    return content, png


def read_figure(path: Path) -> Content:
    """Read a figure's content.

    Raises:
        DataError: The file cannot be read, or is not a figure.
    """
    try:
        content: Content = decoded(path.read_bytes(), Content)  # type: ignore[arg-type]  # a union
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DataError(f"there is no file '{path}'", "run this without --redraw first") from error
    except DamagedRecord as error:
        raise DataError(f"'{path}' is damaged or not a figure of capsedge: {error}") from error
    return content


def rows(content: Content) -> tuple[list[str], list[list[str]]]:
    """A figure's numbers as a table: header, and rows of text."""
    match content:
        case capsule_lengths.Fig1():
            return capsule_lengths.rows(content)
        case reconstructions.Fig2():
            return reconstructions.rows(content)
        case convergence.Fig3():
            return convergence.rows(content)
        case step_times.Fig4():
            return step_times.rows(content)


def _draw(content: Content) -> "Figure":
    match content:
        case capsule_lengths.Fig1():
            return capsule_lengths.draw(content)
        case reconstructions.Fig2():
            return reconstructions.draw(content)
        case convergence.Fig3():
            return convergence.draw(content)
        case step_times.Fig4():
            return step_times.draw(content)
