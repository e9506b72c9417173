"""The metrics file: one JSON object per line, appended during the training."""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from capsedge.errors import ModelError
from capsedge.files import naming, write_atomically
from capsedge.records import DamagedRecord, decoded


class _RowKind(msgspec.Struct):
    """The fields that every row has."""

    kind: str
    step: Annotated[int, msgspec.Meta(ge=0)]


class MetricsFile:
    """A JSON Lines file; each row has the `step` after which it was measured.

    Args:
        path: The file.
        resumed_at: Rows after this step are dropped, because these steps will be repeated; so is a test row, which is
            written again at the end. 0 starts an empty file.
    """

    def __init__(self, path: Path, resumed_at: int = 0) -> None:
        self.path = path
        old = read_metrics(path) if path.exists() else []
        kept = [row for row in old if row["step"] <= resumed_at and row["kind"] != "test"]
        write_atomically(path, b"".join(_line(row) for row in kept))

    def append(self, row: dict[str, Any]) -> None:
        """Add a row; a reader, such as `tail -f`, sees it at once."""
        with naming(self.path), self.path.open("ab") as file:
            file.write(_line(row))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read all complete rows; a last line that a crash truncated is skipped.

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
    decoded(line, _RowKind)
    row: dict[str, Any] = decoded(line, dict[str, Any])
    return row


def _line(row: dict[str, Any]) -> bytes:
    return msgspec.json.encode(row) + b"\n"
