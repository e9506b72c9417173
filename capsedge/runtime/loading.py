"""Importing a runtime's library; one that is installed but broken gives a one-line error."""

from types import ModuleType

from capsedge.errors import ProviderError, require

DOES_NOT_LOAD = "does-not-load"
OVERLAPPING = "overlapping-packages"  # two packages that contain the same files


def load(module: str, *, extra: str) -> ModuleType:
    """Import a runtime's library.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: It is installed but does not load, usually because a shared library is missing.
    """
    try:
        return require(module, extra=extra)
    except ImportError as error:
        raise ProviderError(
            f"the Python package '{module}' is installed but does not load ({error})",
            f"pip install --force-reinstall 'capsedge[{extra}]'",
            code=DOES_NOT_LOAD,
        ) from error
