"""Loading a library that runs models, so that one that is there and broken is told in one line too."""

from types import ModuleType

from capsedge.errors import ProviderError, require

DOES_NOT_LOAD = "does-not-load"
OVERLAPPING = "overlapping-packages"  # two packages that write the same files


def load(module: str, *, extra: str) -> ModuleType:
    """Import a runtime's library.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: It is installed and does not load, mostly for want of a shared library.
    """
    try:
        return require(module, extra=extra)
    except ImportError as error:
        raise ProviderError(
            f"the Python package '{module}' is installed but does not load ({error})",
            f"pip install --force-reinstall 'capsedge[{extra}]'",
            code=DOES_NOT_LOAD,
        ) from error
