"""Reads a .csv file that lists images: a path, a class and, optionally, a part in each line."""

import csv
from io import StringIO
from pathlib import Path

from capsedge.data.items import PARTS, Item, Listing, Part, few
from capsedge.data.remark import remark
from capsedge.errors import DataError
from capsedge.files import is_file
from capsedge.plural import number_of

# Names of columns in a list, in any case; file_name is that of Hugging Face's imagefolder.
PATH_COLUMNS = ("path", "file", "file_name", "filename", "filepath", "file_path", "image", "image_path")
LABEL_COLUMNS = ("label", "class", "category", "target")
PART_COLUMNS = ("split", "part", "subset", "set")


def names_images(path: Path) -> bool:
    """Whether the first line of a .csv file names the columns of a list of images."""
    try:
        _columns(path, _rows(path))
    except DataError:
        return False
    return True


def _rows(path: Path) -> "csv.DictReader[str]":
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"'{path}' is not text in UTF-8", "save it as UTF-8, with columns path and label") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return csv.DictReader(StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _columns(path: Path, rows: "csv.DictReader[str]") -> tuple[str, str, str | None]:
    """Names of the columns for path, label and part; None without a part column."""
    columns = {name.strip().lower(): name for name in rows.fieldnames or () if name}
    where, label, part = (
        next((columns[name] for name in names if name in columns), None)
        for names in (PATH_COLUMNS, LABEL_COLUMNS, PART_COLUMNS)
    )
    if where is None or label is None:
        raise DataError(
            f"'{path}': expected a first line that names the columns path and label (and optionally split), got "
            f"{', '.join(rows.fieldnames or ()) or 'none'}"
        )
    return where, label, part


def read_list(path: Path) -> Listing:
    """Read a list; files that are missing or have no label are skipped and counted in its remarks.

    Args:
        path: The .csv file, whose separators are commas, semicolons or tabs. Paths in it are relative to its folder.

    Raises:
        DataError: It is not UTF-8, no valid .csv, lacks a column or names an unknown part.
    """
    rows = _rows(path)
    try:
        return _listed(path, rows)
    except csv.Error as error:
        raise DataError(f"'{path}' is not a valid .csv after line {rows.line_num}: {error}") from error


def _listed(path: Path, rows: "csv.DictReader[str]") -> Listing:
    where, label, part = _columns(path, rows)
    items, missing, unlabelled = [], [], 0
    for row in rows:
        name, label_text = (row[where] or "").strip(), (row[label] or "").strip()
        if not name:
            continue
        if not label_text:
            unlabelled += 1
        elif not is_file(path.parent / name):
            missing.append(name)
        else:
            named = _part_named(row[part] if part else "", f"'{path}', line {rows.line_num}")
            items.append(Item(path.parent / name, Path(name).as_posix(), label_text, named))
    remarks = []
    if missing:
        text = f"{few(missing, 'listed file')} missing and skipped"
        remarks.append(remark("files-missing", text, count=len(missing)))
    if unlabelled:
        text = f"{number_of(unlabelled, 'listed file')} without a label skipped"
        remarks.append(remark("files-without-label", text, count=unlabelled))
    return Listing(path, sorted(items, key=lambda item: item.name), remarks)


def _part_named(name: str | None, where: str) -> Part | None:
    text = (name or "").strip().lower()
    if text and text not in PARTS:
        raise DataError(f"{where}: expected one of {', '.join(PARTS)}, or nothing, as the split, got '{text}'")
    return PARTS[text] if text else None
