"""New Python processes that run a module of this capsedge."""

import os
import sys
from pathlib import Path

_PLACE = str(Path(__file__).parents[1])


def module_command(name: str) -> list[str]:
    """The words that run a module, without the user's folder in its path: a tempfile.py there is not Python's."""
    return [sys.executable, "-P", "-m", name]


def module_environment() -> dict[str, str]:
    """The environment in which `module_command` finds this capsedge, also in a checkout that is not installed."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (_PLACE, os.environ.get("PYTHONPATH"))))}
