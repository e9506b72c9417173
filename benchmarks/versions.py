"""Versions of the packages that computed a record's numbers."""

from platform import python_version
from typing import Any

from capsedge.version import __version__


def versions_of(*modules: Any) -> dict[str, str]:
    """Versions of capsedge, of imported modules by name, and of Python."""
    own = {module.__name__: str(module.__version__) for module in modules}
    return {"capsedge": __version__, **own, "python": python_version()}
