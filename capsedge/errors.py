"""The errors that a user can see, as one tree; each has the exit code of the command that it ends.

    CapsedgeError        exit 1
    ├── WrongUse         exit 2   an argument, a recipe key or a value that does not exist or does not fit
    ├── DataError        exit 1   data that is missing, damaged or not in the stated format
    ├── ModelError       exit 1   a model, engine or run that cannot be read or does not fit
    ├── ProviderError    exit 1   hardware or a runtime that was requested and is not available
    ├── MissingExtra     exit 1   an optional part of capsedge that is not installed
    ├── GateRejected     exit 1   an exported file whose outputs differ from the network's
    └── Interrupted      exit 130 Ctrl-C or a termination signal; the state was saved

`str()` of each is one line: what was expected, what was found, what to do. Code reads the fields, not that line.
"""

from collections.abc import Iterable
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class CapsedgeError(Exception):
    """Any failure that is not a bug in capsedge.

    Attributes:
        text: What was expected and what was found.
        advice: What to do, such as a command; "" if the text says it or there is nothing to do.
        code: Stable identifier of the kind of error, for programs: `missing-extra`.
    """

    exit_code = 1
    code = "failed"

    def __init__(self, text: str, advice: str = "", *, code: str = "") -> None:
        """Make the error.

        Args:
            text: See the class.
            advice: See the class.
            code: Replaces the code of the class, if programs must distinguish this error from others of the class.
        """
        super().__init__(text, advice)
        self.text, self.advice = text, advice
        self.code = code or self.code

    @property
    def record(self) -> dict[str, str]:
        """The fields, for JSON."""
        return {"code": self.code, "text": self.text, "advice": self.advice}

    def __str__(self) -> str:
        """The error in one line."""
        return f"{self.text}: {self.advice}" if self.advice else self.text


class WrongUse(CapsedgeError):
    """The command or the recipe asks for something that does not exist or is not possible."""

    exit_code = 2
    code = "wrong-use"


class DataError(CapsedgeError):
    """A data set or an image is missing, damaged or in an unsupported format."""

    code = "data"


class ModelError(CapsedgeError):
    """A model file, engine or run is missing, damaged or does not fit its use."""

    code = "model"


class ProviderError(CapsedgeError):
    """The requested execution provider cannot run on this machine."""

    code = "provider"


class MissingExtra(CapsedgeError):
    """An optional dependency is not installed."""

    code = "missing-extra"


class GateRejected(CapsedgeError):
    """The gate measured that an exported file's outputs differ from the trained network's."""

    code = "gate-rejected"


class Interrupted(CapsedgeError):
    """The user stopped the work; the state for resuming it was saved."""

    exit_code = 130
    code = "interrupted"


def nearest(given: str, known: Iterable[str], *, otherwise: str | None = None) -> str:
    """Advice for a name that does not exist: the nearest name that does, or all names.

    Args:
        given: The name.
        known: The names that exist.
        otherwise: Text if no name is near; None lists all names.
    """
    from difflib import get_close_matches  # needed for errors only

    names = list(known)
    word = given.rpartition(".")[2]
    longer = [name for name in names if name.endswith((f"_{word}", f"-{word}"))]  # learning_rate, for rate
    close = longer if len(longer) == 1 else get_close_matches(given, names, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"there are: {', '.join(names) or 'none'}" if otherwise is None else otherwise


def refuse_text(given: Iterable[str], what: str) -> None:
    """Refuse a text where a list of texts is expected: Python would take each of its letters for one.

    Args:
        given: The list.
        what: What it lists, such as `settings`.

    Raises:
        WrongUse: It is a text.
    """
    if isinstance(given, str):
        raise WrongUse(f"expected a list of {what}, got the text {given!r}", f"give {[given]}")


def damage(error: Exception) -> str:
    """Text of msgspec's error about a file that capsedge wrote, with the field: `data.sha256: expected str`."""
    text, _, place = str(error).replace("`", "").partition(" - at $")
    return f"{place.removeprefix('.')}: {text[0].lower()}{text[1:]}" if place else text


def install(*extras: str) -> str:
    """The command that installs extras: pip leaves an installed capsedge as it is, and adds the packages.

    capsedge is on no package index, so where it is not installed, pip needs a checkout: the one that it runs from,
    or, where only its files were copied, one that the user has elsewhere.
    """
    import shlex
    from importlib.metadata import PackageNotFoundError, version
    from pathlib import Path

    wanted = f"[{','.join(extras)}]"
    try:
        version("capsedge")
    except PackageNotFoundError:
        folder = Path(__file__).parents[1]
        if not _is_checkout(folder):
            return f"{shlex.join(['pip', 'install', f'.{wanted}'])} in a checkout of capsedge"
        return shlex.join(["pip", "install", f"{folder}{wanted}"])
    return shlex.join(["pip", "install", f"capsedge{wanted}"])


def _is_checkout(folder: "Path") -> bool:
    """Whether pip can install capsedge from a folder; some packages leave a pyproject.toml among installed ones."""
    import tomllib

    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(project.get("project", {}).get("name") == "capsedge")


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or raise an error that names the extra that installs it.

    Args:
        module: Dotted name of the module, such as ``"onnxruntime"``.
        extra: The extra of capsedge that installs it, such as ``"cpu"``.

    Raises:
        MissingExtra: The module, or another package that it needs, is not installed.
        ImportError: The package is installed, but cannot be imported or lacks one of its own modules.
        KeyboardInterrupt: Ctrl-C arrived in the import, and an extension module made an ImportError of it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        lacking = error.name or module
        missing, _, _ = lacking.partition(".")
        if missing == module.partition(".")[0] and not f"{module}.".startswith(f"{lacking}."):
            raise  # a module of the package itself: the package is installed and damaged
        raise MissingExtra(
            f"this needs the Python package '{missing}', which is not installed", install(extra)
        ) from error
    except ImportError as error:
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
