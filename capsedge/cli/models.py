"""`capsedge models`: lists the built-in models and those of the zoo."""

from capsedge.cli.options import JsonOption
from capsedge.errors import ModelError
from capsedge.plural import quoted

EXAMPLES = """
[bold]Examples[/bold]

capsedge models

capsedge infer shoe.png --model edge-small.int8

capsedge models --json | jq '.models[] | select(.folder) | .name'
"""


def models(as_json: JsonOption = False) -> None:
    """List the built-in models and those of the zoo: cost, size, test error, and whether they are on this machine."""
    from capsedge.cli.console import next_command, print_json, say
    from capsedge.cli.screens.models import default_of, print_models
    from capsedge.runtime.models import how_to_get_zoo, list_models, zoo_folder

    found, zoo = list_models(), zoo_folder()
    if as_json:
        print_json({"zoo": None if zoo is None else str(zoo), "builtin": default_of(found), "models": found})
    else:
        print_models(found)
        if any(each.folder is None for each in found):
            say(f"models that are not here: {how_to_get_zoo()}")
    if altered := [f"{each.folder}/{file}" for each in found for file in each.altered]:
        raise ModelError(f"these files are not the listed ones (their SHA-256 differs): {quoted(altered)}")
    if not as_json and (here := [each.name for each in found if each.folder]):
        next_command("capsedge", "inspect", here[-1])
