"""`capsedge inspect`: shows a model's contract and checks the file against it, without running it."""

from pathlib import Path

from capsedge.cli.options import JsonOption, ModelArgument
from capsedge.errors import ModelError

EXAMPLES = """
[bold]Examples[/bold]

capsedge inspect

capsedge inspect runs/my-run

capsedge inspect runs/my-run/model.engine --json | jq .manifest.targets
"""


def inspect(model: ModelArgument = None, as_json: JsonOption = False) -> None:
    """Show a model's inputs, outputs, cost, origin and gate verdict; runs nothing."""
    from capsedge.cli.console import next_command, print_json, say_chosen
    from capsedge.cli.screens.inspect import show_inspection
    from capsedge.runtime.inspection import inspect_model

    found = inspect_model(model)
    say_chosen(model, Path(found.file))
    if as_json:
        print_json(found)
    else:
        show_inspection(found)
    if found.problems:
        raise ModelError(f"'{found.model}' is not what its contract describes: {'; '.join(found.problems)}")
    if not as_json and found.size_bytes is not None:
        next_command("capsedge", "bench" if found.promises is None else "verify", *([] if model is None else [model]))
