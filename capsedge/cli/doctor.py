"""`capsedge doctor`: what this machine can run."""

from typing import TYPE_CHECKING

from capsedge.cli.options import JsonOption
from capsedge.errors import ProviderError

if TYPE_CHECKING:
    from capsedge.runtime.doctor import Diagnosis

EXAMPLES = """
[bold]Examples[/bold]

capsedge doctor

capsedge doctor --json | jq '.findings[] | select(.state == "missing")'
"""

_COLOURS = {"works": "green", "installed": "", "missing": "yellow", "broken": "red"}


def doctor(as_json: JsonOption = False) -> None:
    """Show what this machine can run, proved by running it, and what to install for the rest."""
    from capsedge.cli.console import print_json
    from capsedge.runtime.doctor import diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis)
    else:
        _print_table(diagnosis)
    if diagnosis.problems:
        raise ProviderError(f"needs mending: {', '.join(diagnosis.problems)}")


def _print_table(diagnosis: "Diagnosis") -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from capsedge.cli.console import out

    machine = diagnosis.machine
    out.print(f"{machine.cpu}, {machine.cores} cores, {machine.system}, Python {machine.python}", markup=False)
    table = Table("what", "state", "found", box=box.SIMPLE)
    for finding in diagnosis.findings:
        found = f"{finding.detail}; {finding.advice}" if finding.advice else finding.detail
        table.add_row(finding.subject, Text(finding.state, _COLOURS[finding.state]), Text(found))
    out.print(table)
