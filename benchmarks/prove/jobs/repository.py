"""Writes a model repository for Triton."""

from pathlib import Path

from benchmarks.prove.asked import RepositoryWanted
from capsedge.export.triton import write_repository


def work(wanted: RepositoryWanted) -> list[str]:
    """Write every model; gives the folder of each."""
    return [str(write_repository(Path(wanted.folder), Path(model))) for model in wanted.models]
