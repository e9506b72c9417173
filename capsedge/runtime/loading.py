"""Importing a runtime's library; one that is installed but broken gives a one-line error."""

from types import ModuleType

from capsedge.errors import ProviderError, require

DOES_NOT_LOAD = "does-not-load"
OVERLAPPING = "overlapping-packages"  # two packages that contain the same files


def load(module: str, *, extra: str, wheel: str = "") -> ModuleType:
    """Import a runtime's library.

    Args:
        module: Its name.
        extra: The extra of capsedge that brings it.
        wheel: The package that is installed for it, to be named where it does not load; "" asks pip's records.

    Raises:
        MissingExtra: It is not installed.
        ProviderError: It is installed but does not load, usually because a shared library is missing.
    """
    try:
        return require(module, extra=extra)
    except ImportError as error:
        from importlib.metadata import packages_distributions

        package = module.partition(".")[0]
        wheels = wheel or " ".join(sorted({*packages_distributions().get(package, [package])}))
        raise ProviderError(
            f"the Python package '{module}' is installed but does not load ({error})",
            f"pip install --force-reinstall {wheels}",
            code=DOES_NOT_LOAD,
        ) from error
