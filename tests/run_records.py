"""The record of a run that nothing was trained for."""

from pathlib import Path
from typing import Literal

import msgspec

from capsedge.fit import Fit
from capsedge.run_record import RunRecord


def write_record(folder: Path, status: Literal["training", "finished"]) -> None:
    """Make a folder a run."""
    record = RunRecord(
        status=status,
        classes=("cat", "dog"),
        shape=(28, 28, 1),
        fit=Fit(),
        data="pets",
        data_source="/pets",
        data_sha256="",
        versions={},
        device="cpu",
    )
    folder.mkdir(parents=True)
    (folder / "run.json").write_bytes(msgspec.json.encode(record))
