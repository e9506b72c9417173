"""The Typer application: which commands there are, and how an error becomes one line and an exit code."""

import atexit
import gc
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from capsedge.errors import CapsedgeError, MissingExtra, WrongUse
from capsedge.files import refusal
from capsedge.version import __version__

# In the order in which a model passes through them; each module holds a function or a Typer of the command's name.
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


class _InOrder(TyperGroup):
    """Lists commands and groups in the order of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return sorted(self.commands, key=list(COMMANDS).index)


def application(commands: Sequence[str]) -> typer.Typer:
    """The Typer application with some of its commands, whose modules are loaded here."""
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
    _open_closed_streams()
    # A start makes many objects and hardly any garbage, and the interpreter's end would look through them all again,
    # which is a sixth of a cold start (docs/decisions/0017-cold-start.md).
    gc.set_threshold(100_000)
    atexit.register(gc.freeze)
    # Of its cache folder, where the home is read-only: it draws all the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no reason to fail
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text streams here
    try:
        _refuse_empty(sys.argv[1:])
        code = application(_meant(sys.argv[1:]))(standalone_mode=False) or 0
        sys.stdout.flush()  # here, where a reader that left is caught, and not at the interpreter's end
    except typer.Exit as stop:
        code = stop.exit_code
    except CapsedgeError as error:
        code = _fail(error, error.exit_code)
    except TyperException as error:
        code = _fail(error, error.exit_code, text=error.format_message() + _recipe_key(error))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except (BrokenPipeError, SystemExit) as stop:  # Typer and rich make a SystemExit of a broken pipe
        if not isinstance(stop, BrokenPipeError) and not isinstance(stop.__context__, BrokenPipeError):
            raise
        # The reader of our output, such as `head`, has left: that is its right.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:  # a full disk, a folder without permission: the machine's refusal, not our bug
        code = _fail(error, 1, text=refusal(error), kind="system")
    except ModuleNotFoundError as error:
        about = _about_missing((error.name or "").split(".")[0])
        code = _fail(error, 1, prefix=about, kind=MissingExtra.code)
    except MemoryError as error:
        code = _fail(error, 1, prefix="there is not enough memory for this; ", kind="memory")
    except Exception as error:
        about = f"this is a bug in capsedge ({type(error).__name__}; see it with capsedge --debug ...): "
        code = _fail(error, 1, prefix=about, kind="bug")
    sys.exit(code)


def _open_closed_streams() -> None:
    """Give nothing to read, and nowhere to write, where the shell closed a stream (`>&-`): Python has None there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # in the order of the numbers that are free
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # open to the end


def _refuse_empty(words: Sequence[str]) -> None:
    """Refuse an empty argument, such as `--model "$UNSET"`: as a path it would mean the working directory.

    Raises:
        WrongUse: There is one.
    """
    for before, word in zip(("capsedge", *words), words, strict=False):
        name, is_value, value = word.partition("=")
        if not word or (name.startswith("--") and is_value and not value):
            raise WrongUse(f"expected a path, a name or another value after '{name or before}', got an empty text")


def _meant(words: Sequence[str]) -> Sequence[str]:
    """The commands to load: the one that is asked for, or all, for the help, the completion and an unknown name."""
    first = next((word for word in words if not word.startswith("-")), None)
    return (first,) if first in COMMANDS else COMMANDS


def _about_missing(package: str) -> str:
    from importlib.util import find_spec

    if sys.modules.get(package) or (package and find_spec(package)):
        return f"the Python package '{package}' is damaged: pip install --force-reinstall {package}; "
    return f"a part of this command is not installed ({package}): pip install 'capsedge[train,export]'; "


def _recipe_key(error: TyperException) -> str:
    """For an unknown option of a command with --set: the key of a recipe that it is the name of, as --epochs."""
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", "")
    if context is None or "set_" not in {each.name for each in context.command.params}:
        return ""
    from capsedge.cli.recipe import SECTIONS

    wanted = option.lstrip("-").replace("-", "_")
    keys = [f"{name}.{key}" for name, kind in SECTIONS.items() for key in kind.__struct_fields__ if key == wanted]
    if not keys:
        return ""
    told = " or ".join(f"--set {key}=VALUE" for key in reversed(keys))  # the training's first
    return f"; a recipe's values are given as {told}"


def _fail(error: Exception, code: int, *, prefix: str = "", text: str = "", kind: str = WrongUse.code) -> int:
    """Say what happened in one line on stderr, and give the exit code.

    Args:
        error: What happened.
        code: The exit code.
        prefix: What stands before the error's words.
        text: In place of the error's own words; "" for these.
        kind: The code of an error that is not one of capsedge's.
    """
    if os.environ.get("CAPSEDGE_DEBUG"):
        raise error
    if _repeats(error):
        return code
    told = error if isinstance(error, CapsedgeError) else CapsedgeError(text or str(error), code=kind)
    if line := prefix + " ".join(str(told).split()):  # `capsedge` alone has printed its help and has nothing to add
        sys.stderr.write(f"{_as_json(told, prefix)}\n" if "--json" in sys.argv else f"capsedge: {line}\n")
    return code


def _as_json(error: CapsedgeError, prefix: str) -> str:
    """The line for a program that has asked for JSON."""
    import json  # only on the way to an error

    told = {key: " ".join(words.split()) for key, words in error.record.items()}
    return json.dumps({"error": told | {"text": prefix + told["text"]}}, ensure_ascii=False)


def _repeats(error: Exception) -> bool:
    """Whether the first process of the same training on this machine says it, too."""
    return isinstance(error, CapsedgeError) and os.environ.get("LOCAL_RANK", "0") != "0"
