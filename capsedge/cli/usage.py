"""Errors in the command line itself, such as an unknown option: Typer's messages with advice, as records."""

from collections.abc import Callable
from copy import copy
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from capsedge.errors import WrongUse, nearest
from capsedge.outside import printable


class Command(TyperCommand):
    """A command that refuses an option given twice, and leaves it to capsedge to open its paths.

    Of an option that is no list, click takes the last value in silence; and it refuses a path that exists and is not
    readable as a wrong use, while one that does not exist is reported as missing where it is opened.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for each in self.params:
            kind: Any = copy(each.type)  # all parameters of a plain type share it
            if hasattr(kind, "readable"):
                kind.readable = False
            if kind.name.partition(" ")[0] in ("int", "float"):  # also "int range"
                kind.convert = _telling(kind)
            each.type = kind

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `typer.core.TyperCommand.parse_args`.

        Raises:
            WrongUse: An option that takes one value is given several times, or both --x and --no-x.
        """
        if not ctx.resilient_parsing:
            _, _, given = self.make_parser(ctx).parse_args(args=[*args])
            asks_for_help = any(each.is_eager for each in given)
            for each in () if asks_for_help else given:
                if _is_single(each) and (times := sum(other is each for other in given)) > 1:
                    name = " or ".join(max(names, key=len) for names in (each.opts, each.secondary_opts) if names)
                    raise WrongUse(f"expected {name} at most once, got it {times} times", "give it once")
        return super().parse_args(ctx, args)


def _telling(kind: Any) -> Callable[[Any, Any, Any], Any]:
    """The conversion of a number, with an error in words: click writes ranges as 0<=x<=1."""
    convert = kind.convert
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    wanted = "an integer" if kind.name.startswith("int") else "a number"
    if low is not None and high is not None:
        wanted += f" from {low:g} to {high:g}"
    elif low is not None:
        wanted += f" of {low:g} or more"

    def told(value: Any, parameter: Any, context: Any) -> Any:
        try:
            return convert(value, parameter, context)
        except typer.BadParameter as error:
            raise typer.BadParameter(
                f"expected {wanted}, got '{printable(str(value))}'", context, parameter
            ) from error

    return told


class CommandGroup(TyperGroup):
    """A group of commands whose error about an unknown one suggests the nearest."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """See `typer.core.TyperGroup.resolve_command`.

        Raises:
            WrongUse: There is no such command.
        """
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing and not name.startswith("-"):
            near = "see capsedge --help" if name == "help" else nearest(name, self.list_commands(ctx))
            raise WrongUse(f"unknown command '{printable(name)}'", near)
        return super().resolve_command(ctx, args)


def _is_single(parameter: Any) -> bool:
    """Whether a parameter is an option that can be given once only; a repeated flag means the same as one."""
    if parameter.param_type_name != "option" or parameter.multiple:
        return False
    return not parameter.is_flag or bool(parameter.secondary_opts)


def wrong_use(error: TyperException) -> WrongUse:
    """An error of Typer in the form of capsedge's own; empty for a group without a command, which prints its help."""
    message = error.format_message().rstrip(".")
    message = message[:1].lower() + message[1:]
    context, option = getattr(error, "ctx", None), getattr(error, "option_name", "")
    if not message or context is None:
        return WrongUse(message)
    help_command = f"{context.command_path} {context.help_option_names[-1]}"
    parameters = context.command.params
    known = [name for each in parameters for name in (*each.opts, *each.secondary_opts) if name.startswith("-")]
    if option and option not in known:
        advice = _recipe_key(option, parameters) or _nearest_option(option, known) or f"see {help_command}"
        return WrongUse(f"unknown option '{printable(option)}'", advice)
    return WrongUse(message, f"see {help_command}")


def _nearest_option(option: str, known: list[str]) -> str:
    """A suggestion for an unknown option, or ""."""
    from difflib import get_close_matches  # only on the way to an error

    words = {name.lstrip("-"): name for name in known}  # the dashes, which all have, would make any two alike
    given = option.lstrip("-")
    close = [word for word in words if len(given) > 1 and word.startswith(given)] or get_close_matches(given, words)
    return f"did you mean '{words[close[0]]}'?" if close else ""


def _recipe_key(option: str, parameters: list[Any]) -> str:
    """Advice for an option that is the name of a recipe's key, such as --epochs, of a command with --set, or ""."""
    if "set_" not in {each.name for each in parameters}:
        return ""
    from capsedge.cli.recipe import SECTIONS

    wanted = option.lstrip("-").replace("-", "_")
    keys = [f"{name}.{key}" for name, kind in SECTIONS.items() for key in kind.__struct_fields__ if key == wanted]
    told = " or ".join(f"--set {key}=VALUE" for key in reversed(keys))  # that of the training first
    return f"a recipe's values are given as {told}" if keys else ""
