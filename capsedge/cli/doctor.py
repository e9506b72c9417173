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


def doctor(as_json: JsonOption = False) -> None:
    """Test what this machine can run, and say what to install for the rest."""
    from capsedge.cli.console import print_json

    diagnosis = _diagnosed(silent=as_json)
    if as_json:
        print_json(diagnosis)
    else:
        _print_table(diagnosis)
    if diagnosis.problems:
        raise ProviderError(f"broken: {', '.join(diagnosis.problems)}")


def _diagnosed(*, silent: bool) -> "Diagnosis":
    """Diagnose, with a spinner on a terminal: a GPU takes some seconds to start."""
    from capsedge.cli.console import err
    from capsedge.measure.doctor import diagnose

    if silent or not err.is_terminal:
        return diagnose()
    with err.status("testing this machine"):
        return diagnose()


def _print_table(diagnosis: "Diagnosis") -> None:
    from rich.text import Text

    from capsedge.cli.console import out
    from capsedge.cli.tables import Column, print_table

    machine = diagnosis.machine
    about = (machine.cpu, number_of(machine.cores, "core"), machine.board, machine.system, f"Python {machine.python}")
    out.print(", ".join(filter(None, about)), markup=False)
    findings = diagnosis.findings
    print_table(
        [
            Column("component", [each.subject for each in findings], most=15),  # so that the advice has room
            Column("state", [Text(each.state, _colour(each)) for each in findings]),
            Column("found", [_found(each) for each in findings]),
        ]
    )


def _colour(finding: "Finding") -> str:
    """The colour of a finding's state; a missing component without advice is dimmed."""
    return "dim" if finding.state == "missing" and not finding.advice else _COLOURS[finding.state]


def _found(finding: "Finding") -> "Text":
    """A finding's detail, with the advice on a separate line."""
    from rich.text import Text

    found = Text(finding.detail)
    return found.append(f"\nto do: {finding.advice}", "bold") if finding.advice else found
