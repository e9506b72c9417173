"""A measurement as a file, in the format that the file's name ends in."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from capsedge.errors import DataError, WrongUse, require
from capsedge.files import check_writable, write_atomically
from capsedge.measure.bench.report import SCHEMA_VERSION, BenchReport
from capsedge.records import DamagedRecord, decoded

KIND = "capsedge bench"

# The code of the error about a report that another capsedge wrote.
OTHER_SCHEMA = "other-schema"


class _Head(msgspec.Struct):
    """What tells a report from other JSON files."""

    kind: str = ""
    schema: int = 0


def check_suffix(file: Path) -> None:
    """Refuse a file that `save` could not write, before anything is measured.

    Raises:
        WrongUse: The name ends in no format.
        MissingExtra: It ends in .html, and what writes the page is not installed.
    """
    suffix = file.suffix.lower()
    if suffix not in _WRITERS:
        raise WrongUse(f"expected a report's name to end in {', '.join(_WRITERS)}, got '{file}'")
    if suffix == ".html":
        for module in ("jinja2", "matplotlib"):
            require(module, extra="plots")


def check_output(file: Path) -> None:
    """As `check_suffix`, and refuse a place where `save` could not write.

    Raises:
        WrongUse: The name ends in no format, is a folder's, or its folder cannot be written.
        MissingExtra: See `check_suffix`.
    """
    check_suffix(file)
    check_writable(file)


def save(report: BenchReport, file: Path) -> None:
    """Write a report in one step, in the format that the file's name ends in.

    The JSON is the report itself, with every sample; the others are views of it.

    Raises:
        WrongUse: The name ends in no format.
        MissingExtra: It ends in .html, and what writes the page is not installed.
    """
    check_suffix(file)
    write_atomically(file, _WRITERS[file.suffix.lower()](report))


def load(file: Path) -> BenchReport:
    """Read a report that `save` wrote as .json.

    Raises:
        DataError: The file is missing, is no report, is damaged, or has another schema (its code is `OTHER_SCHEMA`).
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"the report '{file}' cannot be read: {error.strerror}") from error
    try:
        head = decoded(content, _Head)
    except DamagedRecord as error:
        raise DataError(f"'{file}' is not the JSON of a report, or was cut off ({error}): {_WANTED}") from error
    if head.kind != KIND:
        raise DataError(f"'{file}' is JSON of something else than `{KIND}`: {_WANTED}")
    if head.schema != SCHEMA_VERSION:
        raise DataError(
            f"expected a report of schema {SCHEMA_VERSION}, got schema {head.schema} in '{file}'",
            "measure again, or install the capsedge that wrote it",
            code=OTHER_SCHEMA,
        )
    try:
        return decoded(content, BenchReport)
    except DamagedRecord as error:
        raise DataError(f"'{file}' is a damaged report ({error}): {_WANTED}") from error


_WANTED = "give a file that `capsedge bench --output FILE.json` wrote"

# A list of numbers over several lines; a newline cannot stand in a string of JSON, so no text is touched.
_NUMBERS = re.compile(rb"\[\n\s+([-+\d.eE]+(?:,\n\s+[-+\d.eE]+)*)\n\s+\]")


def _json(report: BenchReport) -> str:
    """Indented for people, with the samples of a round on one line."""
    indented = msgspec.json.format(msgspec.json.encode(report), indent=1)
    lines = _NUMBERS.sub(lambda found: b"[" + b" ".join(found[1].split()) + b"]", indented)
    return lines.decode() + "\n"


def _csv(report: BenchReport) -> str:
    from capsedge.measure.bench.show.csv import csv_of

    return csv_of(report)


def _markdown(report: BenchReport) -> str:
    from capsedge.measure.bench.show.markdown import markdown

    return markdown(report)


def _page(report: BenchReport) -> str:
    from capsedge.measure.bench.show.page import page

    return page(report)


_WRITERS: dict[str, Callable[[BenchReport], str]] = {
    ".json": _json,
    ".csv": _csv,
    ".md": _markdown,
    ".html": _page,
}
