"""Which file it was: a name may stand for another file tomorrow."""

import hashlib
from pathlib import Path


def sha256_of(file: Path) -> str | None:
    """Hash a file, or give None where it can no longer be read."""
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        return None
