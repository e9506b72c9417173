"""Read and write reports; the suffix of the file name selects the format."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from capsedge.errors import DataError, WrongUse, require
from capsedge.files import check_replaceable, check_writable, page_mark, write_atomically
from capsedge.measure.bench.report import SCHEMA_VERSION, BenchReport
from capsedge.records import DamagedRecord, decoded

KIND = "capsedge bench"

# Code of the error about a report with another schema.
OTHER_SCHEMA = "other-schema"
# Code of the error about a report that is missing or that this user may not read.
UNREADABLE = "unreadable"


class _Head(msgspec.Struct):
    """The fields that distinguish a report from other JSON files."""

    kind: str = ""
    schema: int = 0


def check_output(file: Path) -> None:
    """Refuse a file that `save` cannot write: its format or its folder.

    Raises:
        WrongUse: The suffix is not a known format, the path is a folder, its folder is not writable, or the file
            exists and no report of this format.
    """
    _check_suffix(file)
    check_writable(file)
    check_replaceable(file, _MARKS[file.suffix.lower()], "bench")


def check_extras(files: Iterable[Path]) -> None:
    """Refuse formats whose packages are missing; apart from `check_output`, so that wrong use is told before it.

    Raises:
        MissingExtra: A suffix is .html, and the packages for pages are not installed.
    """
    if any(file.suffix.lower() == ".html" for file in files):
        for module in ("jinja2", "matplotlib"):
            require(module, extra="plots")


def save(report: BenchReport, file: Path) -> None:
    """Write a report atomically; the suffix of the file name selects the format.

    JSON is the complete report with every sample; the other formats leave the samples out.

    Raises:
        WrongUse: The suffix is not a known format.
        MissingExtra: See `check_extras`.
    """
    _check_suffix(file)
    check_extras([file])
    write_atomically(file, _WRITERS[file.suffix.lower()](report))


def load(file: Path) -> BenchReport:
    """Read a report that `save` wrote as .json.

    Raises:
        DataError: The file is missing or not readable (its code is `UNREADABLE`), not a report, damaged, or has
            another schema (its code is `OTHER_SCHEMA`).
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"the report '{file}' cannot be read: {error.strerror}", code=UNREADABLE) from error
    try:
        head = decoded(content, _Head)
    except DamagedRecord as error:
        raise DataError(f"'{file}' is not a JSON report, or is incomplete ({error})", _WANTED) from error
    if head.kind != KIND:
        raise DataError(f"'{file}' is a JSON file, but not a report of `{KIND}`", _WANTED)
    if head.schema != SCHEMA_VERSION:
        raise DataError(
            f"expected a report of schema {SCHEMA_VERSION}, got schema {head.schema} in '{file}'",
            "measure again, or install the version of capsedge that wrote it",
            code=OTHER_SCHEMA,
        )
    try:
        report = decoded(content, BenchReport)
        _check_rounds(report)
    except DamagedRecord as error:
        raise DataError(f"'{file}' is a damaged report ({error})", _WANTED) from error
    return report


def _check_rounds(report: BenchReport) -> None:
    """Refuse a group whose cases have different numbers of rounds: ratios compare cases round by round."""
    for index, group in enumerate(report.groups):
        counts = {len(case.samples_ms) for case in group.cases}
        if len(counts) > 1:
            raise DamagedRecord(f"groups[{index}].cases: expected samples_ms with the same number of rounds")


_WANTED = "give a file that `capsedge bench --output FILE.json` wrote"

# A list of numbers over several lines. JSON strings contain no newline, so this matches no text.
_NUMBERS = re.compile(rb"\[\n\s+([-+\d.eE]+(?:,\n\s+[-+\d.eE]+)*)\n\s+\]")


def _json(report: BenchReport) -> str:
    """Indented JSON, with the samples of a round on one line."""
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


def _check_suffix(file: Path) -> None:
    if file.suffix.lower() not in _WRITERS:
        raise WrongUse(f"expected a report name that ends in {', '.join(_WRITERS)}, got '{file}'")


_MARKS = {
    ".json": f'"kind": "{KIND}"',
    ".csv": "created,capsedge,cpu,instruction_sets,",
    ".md": "### Latency, measured by capsedge ",
    ".html": page_mark("bench"),
}
_WRITERS: dict[str, Callable[[BenchReport], str]] = {
    ".json": _json,
    ".csv": _csv,
    ".md": _markdown,
    ".html": _page,
}
