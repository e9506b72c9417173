"""The run that a command is about: the one in the given folder, or the newest."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from capsedge.errors import ModelError, require

if TYPE_CHECKING:
    from capsedge.training import Run, RunRecord


def chosen_run(folder: Path | None, status: Sequence[str]) -> "Run":
    """The run in a folder, or the newest one in `runs/` with one of these statuses.

    Raises:
        ModelError: There is none, or a recipe or a model was named in place of a folder.
        MissingExtra: torch is not installed.
    """
    if folder is not None:
        return given_run(folder)
    require("torch", extra="train")
    from capsedge.training import newest_run

    return newest_run(status=status)


def given_run(folder: Path) -> "Run":
    """The run in a folder; whether it is one is told when it is read.

    Raises:
        ModelError: There is no such folder, and a recipe or a model has that name.
        MissingExtra: torch is not installed.
    """
    if not folder.exists():
        _refuse_name(str(folder))
    require("torch", extra="train")
    from capsedge.training import Run

    return Run(folder)


def say_after_training(run: "Run", record: "RunRecord") -> None:
    """Print the next step after a training: to train again where it ended with a warning, else to export."""
    from capsedge.cli.console import next_command, say
    from capsedge.runtime.models import exports_in

    if record.warnings:
        export = shlex.join(["capsedge", "export", str(run.path)])
        otherwise = "" if exports_in(run.path) else f"; {export} exports the run as it is"
        say(f"next: do as the warning says and train again{otherwise}")
    else:
        next_command("capsedge", "export", str(run.path))


def _refuse_name(word: str) -> None:
    """Refuse the name of a recipe or a model, with the commands that take it."""
    from capsedge.recipe import shipped_recipes
    from capsedge.runtime.models import known_names

    kinds = {
        "recipe": ("recipe", shipped_recipes()),
        "model": ("inspect", known_names()),
    }
    found = {
        kind: shlex.join(["capsedge", command, word]) for kind, (command, names) in kinds.items() if word in names
    }
    if found:
        raise ModelError(
            f"expected the folder of a run, got '{word}', the name of a {' and of a '.join(found)}",
            f"{' or '.join(found.values())} shows it; capsedge train makes a run",
        )
