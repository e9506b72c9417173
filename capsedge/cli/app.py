"""The Typer application: its commands, and the mapping of errors to one line and an exit code."""

import atexit
import gc
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from traceback import walk_tb
from typing import Annotated, Any, NoReturn

import typer
from typer.exceptions import TyperException

from capsedge.cli.usage import Command, CommandGroup, wrong_use
from capsedge.errors import CapsedgeError, Interrupted, MissingExtra, WrongUse, install
from capsedge.files import FULL, refusal
from capsedge.interruption import arrived, heed
from capsedge.version import __version__

# In the order of a model's life cycle; each module holds a function or a Typer with the command's name.
COMMANDS = (
    "data",
    "recipe",
    "train",
    "show",
    "compress",
    "export",
    "gate",
    "lint",
    "verify",
    "inspect",
    "models",
    "infer",
    "eval",
    "bench",
    "profile",
    "reproduce",
    "doctor",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"capsedge {__version__}")
        raise typer.Exit


class _InOrder(CommandGroup):
    """Lists commands and groups in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return sorted(self.commands, key=list(COMMANDS).index)


def application(commands: Sequence[str]) -> typer.Typer:
    """The Typer application with the given commands; their modules are imported here."""
    app = typer.Typer(
        name="capsedge",
        help="Capsule networks at the edge: train, collapse the routing, export, run, measure.",
        cls=_InOrder,
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    for name in commands:
        module = importlib.import_module(f"capsedge.cli.{name}")
        command = getattr(module, name)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name, epilog=module.EXAMPLES)
        else:
            app.command(name, epilog=module.EXAMPLES)(command)
    for each in (app, *(group.typer_instance for group in app.registered_groups)):
        for registered in each.registered_commands if each else ():
            registered.cls = Command
    return app


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks instead of one-line errors.")] = False,
) -> None:
    del version
    if debug:
        os.environ["CAPSEDGE_DEBUG"] = "1"


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    _prepare_terminal()
    # Startup creates many objects and little garbage; the collections, and the one at exit, would take a sixth of a
    # cold start (docs/decisions/0017-cold-start.md).
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    # Pillow warns of damaged EXIF data without naming the file, and reads the picture.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    # matplotlib warns of its cache folder where the home directory is read-only, but draws correctly.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        heed()
        code = _run(sys.argv[1:])
    except typer.Exit as stop:
        code = stop.exit_code
    except CapsedgeError as error:
        code = _fail(error)
    except TyperException as error:
        code = _fail(wrong_use(error), code=error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = _fail(Interrupted("interrupted"))
    except (BrokenPipeError, SystemExit) as stop:  # Typer and rich make a SystemExit of a broken pipe
        if not isinstance(stop, BrokenPipeError) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        # The reader of the output, such as `head`, has closed the pipe, which is no error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # a full disk or a missing permission, not a bug of capsedge
        code = _fail(_refusal(error), error)
    except ModuleNotFoundError as error:
        code = _fail(_missing(error), error)
    except MemoryError as error:
        code = _fail(CapsedgeError(f"there is not enough memory for this; {error}", code="memory"), error)
    except Exception as error:
        code = _unforeseen(error)
    sys.exit(code)


def _refusal(error: OSError) -> CapsedgeError:
    """As `refusal`; a nameless full disk is that of the output if the command line wrote, which writes no files."""
    refused = refusal(error)
    *_, (frame, _) = walk_tb(error.__traceback__)
    writer = frame.f_globals.get("__name__", "").split(".")
    if error.errno in FULL and error.filename is None and (writer[:2] == _PRINTING or writer[0] in _PRINTERS):
        return CapsedgeError(f"standard output: {refused.text}", refused.advice, code=refused.code)
    return refused


_PRINTING, _PRINTERS = ["capsedge", "cli"], ("click", "rich", "typer")


def _unforeseen(error: Exception) -> int:
    if arrived:
        return _fail(Interrupted("interrupted"))
    text = f"this is a bug in capsedge ({type(error).__name__}): {error}"
    return _fail(CapsedgeError(text, "see it with capsedge --debug ...", code="bug"), error)


def _run(words: Sequence[str]) -> int:
    """Run the command of a command line, and return its exit code."""
    _refuse_empty(words)
    code: int = application(_commands_to_load(words))(prog_name="capsedge", standalone_mode=False) or 0
    if code == Interrupted.exit_code:  # how Typer reports Ctrl-C
        raise KeyboardInterrupt
    sys.stdout.flush()  # here, where a broken pipe is caught, and not at exit
    return code


def _prepare_terminal() -> None:
    """Make output possible: in a terminal of 0 columns, in any encoding, and with closed streams (`>&-`)."""
    if not os.environ.get("COLUMNS", "").strip("0"):  # in 0 columns rich would print nothing
        os.environ.pop("COLUMNS", None)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of the free descriptors
        if getattr(sys, name) is None:  # Python's value of a closed stream
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # open to the end
    for stream in (sys.stdout, sys.stderr):  # escape characters that the encoding lacks
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text streams here


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty argument, such as `--model "$UNSET"`: as a path it would mean the working directory.

    Raises:
        WrongUse: There is one.
    """
    for before, word in zip(("capsedge", *words), words, strict=False):
        name, is_value, value = word.partition("=")
        if not word or (name.startswith("--") and is_value and not value):
            raise WrongUse(f"expected a path, a name or another value after '{name or before}', got an empty text")


def _commands_to_load(words: Sequence[str]) -> Sequence[str]:
    """The requested command alone, or all commands for the help, shell completion and an unknown name."""
    first = next((word for word in words if not word.startswith("-")), None)
    return (first,) if first in COMMANDS else COMMANDS


def _missing(error: ModuleNotFoundError) -> MissingExtra:
    from importlib.util import find_spec

    package = (error.name or "").split(".")[0]
    if sys.modules.get(package) or (package and find_spec(package)):
        again = f"pip install --force-reinstall {package}"
        return MissingExtra(f"the Python package '{package}' is damaged ({error})", again)
    return MissingExtra(f"a part of this command is not installed ({error})", install("train", "export"))


def _fail(error: CapsedgeError, cause: Exception | None = None, *, code: int = 0) -> int:
    """Print an error as one line on stderr, and return the exit code.

    Args:
        error: The error to print.
        cause: The error that was raised, if it is none of capsedge.
        code: Replaces the exit code of the error.
    """
    if os.environ.get("CAPSEDGE_DEBUG") and not isinstance(error, Interrupted):
        raise cause or error
    if str(error) and not _repeats(cause):  # it is empty after `capsedge` alone, which has printed its help
        line = _as_json(error) if "--json" in sys.argv else f"capsedge: {' '.join(str(error).split())}"
        sys.stderr.write(f"{line}\n")
    return code or error.exit_code


def _as_json(error: CapsedgeError) -> str:
    """The error's record as one line of JSON."""
    import json  # only on the way to an error

    told = {key: " ".join(words.split()) for key, words in error.record.items()}
    return json.dumps({"error": told}, ensure_ascii=False)


def _repeats(cause: Exception | None) -> bool:
    """Whether the first process of this training on this machine reports the same error of capsedge."""
    from capsedge.ranks import own_local_rank  # only on the way to an error

    return cause is None and tuple(_commands_to_load(sys.argv[1:])) == ("train",) and own_local_rank() != 0
