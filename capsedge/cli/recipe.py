"""`capsedge recipe`: prints a recipe as TOML, with a comment that explains each key."""

import inspect
import re
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer

from capsedge.cli.options import JsonOption, SetOption, data_names
from capsedge.errors import require
from capsedge.recipe import (
    DEFAULT_RECIPE,
    DataRecipe,
    NetworkRecipe,
    Recipe,
    RoutingRecipe,
    TrainRecipe,
    load_recipe,
    shipped_recipes,
    to_values,
)

if TYPE_CHECKING:
    import msgspec

EXAMPLES = """
[bold]Examples[/bold]

capsedge recipe

capsedge recipe edge-nano --data photos/ > mine.toml

capsedge recipe fashion-mnist-l1 --set routing.penalty=1e-4 --json | jq .routing
"""

SECTIONS: "dict[str, type[msgspec.Struct]]" = {
    "network": NetworkRecipe,
    "routing": RoutingRecipe,
    "data": DataRecipe,
    "train": TrainRecipe,
}
_WIDTH = 100
_KEY = re.compile(r"    (\w+): (.*)")  # in a docstring; continuation lines are indented further


def recipe(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe's name (capsedge train --list), or a TOML file.",
            autocompletion=shipped_recipes,
        ),
    ] = DEFAULT_RECIPE,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE",
            help="Another source of images than the recipe's, as for train.",
            autocompletion=data_names,
        ),
    ] = None,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a recipe as TOML, each key with an explanation; edit it and give it to capsedge train."""
    from capsedge.cli.console import print_json
    from capsedge.data.load import check_source

    found = load_recipe(name, set_ or [], data=data)
    if data is not None or any(each.partition("=")[0].strip() == "data.source" for each in set_ or ()):
        check_source(found.data.source)  # as train does; a file's own source may lie on another machine
    if as_json:
        print_json(found)
    else:
        require("tomli_w", extra="train")
        typer.echo(commented(found), nl=False)


def list_recipes(*, as_json: bool) -> None:
    """Print the recipes that ship with capsedge: the parts of their names, or as JSON all names."""
    from capsedge.cli.console import next_command, out, print_json
    from capsedge.cli.tables import print_rows
    from capsedge.recipe import parts_of_names

    if as_json:
        print_json(shipped_recipes())
        return
    out.print("A recipe's name is DATA-ROUTING, DATA-ROUTING-WIDTH, or one of the widths that begin with edge.")
    for kind, parts in parts_of_names().items():
        out.print()
        print_rows(kind, parts.items())
    next_command("capsedge", "recipe", DEFAULT_RECIPE)


def commented(recipe: Recipe) -> str:
    """A recipe as TOML for `train`, each key below a comment with its meaning."""
    import tomli_w

    lines = [tomli_w.dumps({"name": recipe.name}).rstrip()]
    for section, values in to_values(recipe).items():
        if section not in SECTIONS:
            continue
        meanings = meanings_of(SECTIONS[section])
        lines += ["", f"[{section}]"]
        for key, value in values.items():
            lines += ["", *(f"# {line}" for line in wrap(meanings[key], _WIDTH))]
            lines.append(f"{key} = {_inline(value)}")
    return "\n".join(lines) + "\n"


def meanings_of(kind: "type[msgspec.Struct]") -> dict[str, str]:
    """The meaning of each key of a section: the text below `Attributes:` in the docstring of its type."""
    _, _, text = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    meanings: dict[str, str] = {}
    for line in text.splitlines():
        begun = _KEY.fullmatch(line)
        if begun:
            key = begun[1]
            meanings[key] = begun[2]
        else:
            meanings[key] += f" {line.strip()}"
    return {key: text.replace("`", "'") for key, text in meanings.items()}


def _inline(value: Any) -> str:
    """A value as TOML on one line; tomli_w writes a list on several."""
    import tomli_w

    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").rstrip("\n")
