"""`capsedge doctor`: what this machine can run."""

from typing import TYPE_CHECKING

from capsedge.cli.options import JsonOption
from capsedge.errors import ProviderError
from capsedge.plural import number_of

if TYPE_CHECKING:
    from rich.text import Text

    from capsedge.measure.doctor import Diagnosis, Finding

EXAMPLES = """
[bold]Examples[/bold]

capsedge doctor

capsedge doctor --json | jq '.findings[] | select(.state == "broken")'
"""

_COLOURS = {"works": "green", "installed": "", "missing": "yellow", "broken": "red"}
_SUBJECT_WIDTH = 15  # the longest names take two lines, so that the text has room on 80 columns


def doctor(as_json: JsonOption = False) -> None:
    """Show what this machine can run, proved by running it, and what to install for the rest."""
    from capsedge.cli.console import print_json

    diagnosis = _diagnosed(silent=as_json)
    if as_json:
        print_json(diagnosis)
    else:
        _print_table(diagnosis)
    if diagnosis.problems:
        raise ProviderError(f"needs mending: {', '.join(diagnosis.problems)}")


def _diagnosed(*, silent: bool) -> "Diagnosis":
    """Diagnose, with a spinner on a terminal: a GPU takes some seconds to start."""
    from capsedge.cli.console import err
    from capsedge.measure.doctor import diagnose

    if silent or not err.is_terminal:
        return diagnose()
    with err.status("trying what is here"):
        return diagnose()


def _print_table(diagnosis: "Diagnosis") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    machine = diagnosis.machine
    about = (machine.cpu, number_of(machine.cores, "core"), machine.board, machine.system, f"Python {machine.python}")
    out.print(", ".join(filter(None, about)), markup=False)
    table = Table(box=box.SIMPLE)
    table.add_column("what", max_width=_SUBJECT_WIDTH)
    table.add_column("state")
    table.add_column("found", overflow="fold")
    for finding in diagnosis.findings:
        # What is missing and of no use here is no alarm.
        colour = "dim" if finding.state == "missing" and not finding.advice else _COLOURS[finding.state]
        table.add_row(finding.subject, Text(finding.state, colour), _found(finding))
    out.print(table)


def _found(finding: "Finding") -> "Text":
    """What was seen; what to do stands on a line of its own."""
    from rich.text import Text

    found = Text(finding.detail)
    return found.append(f"\nto do: {finding.advice}", "bold") if finding.advice else found
