"""The metrics file: one JSON object a line, appended as the training goes."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from capsedge.errors import ModelError
from capsedge.files import write_atomically
from capsedge.records import DamagedRecord, decoded


class _Kind(msgspec.Struct):
    """What every row has, by which it is found again."""

    kind: str
    step: Annotated[int, msgspec.Meta(ge=0)]


class MetricsFile:
    """A JSON Lines file whose rows all carry the `step` they were measured after.

    Args:
        path: The file.
        resumed_at: Rows after this step belong to work that was lost, and are dropped; so is a test row, which is
            written again at the end. 0 starts afresh.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        self.path = path
        old = read_metrics(path) if path.exists() else []
        kept = [row for row in old if row["step"] <= resumed_at and row["kind"] != "test"]
        write_atomically(path, b"".join(_line(row) for row in kept))

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; a reader, such as `tail -f`, sees it at once."""
        with self.path.open("ab") as file:
            file.write(_line(row))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read every whole row; a last line that a crash cut short is left out.

    Raises:
        ModelError: A line before the last is damaged.
    """
    lines = path.read_bytes().splitlines()
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append(_row(line))
        except DamagedRecord as error:
            if number < len(lines):
                raise ModelError(f"line {number} of '{path}' is damaged: {error}") from error
    return rows


def _row(line: bytes) -> dict[str, Any]:
    decoded(line, _Kind)
    row: dict[str, Any] = decoded(line, dict[str, Any])
    return row


def _line(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"
