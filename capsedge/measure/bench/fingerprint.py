"""Which file it was: a name may stand for another file tomorrow."""

from pathlib import Path

from capsedge import files


def sha256_of(file: Path) -> str | None:
    """Hash a file, or give None where it can no longer be read."""
    try:
        return files.sha256_of(file)
    except OSError:
        return None
