"""From the groups of a command to its report."""

from collections.abc import Sequence
from datetime import UTC, datetime

from capsedge import __version__
from capsedge.runtime.bench.plan import Plan
from capsedge.runtime.bench.report import BenchReport, Group
from capsedge.runtime.machine import this_machine


def assemble(groups: Sequence[Group], plan: Plan, command: Sequence[str]) -> BenchReport:
    """Put the groups of one command together with what they have in common, as of now.

    Args:
        groups: The measurements.
        plan: Of all groups, apart from the batch.
        command: What was asked, as words of a command line.
    """
    return BenchReport(
        capsedge=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(command),
        plan=plan,
        machine=this_machine(),
        groups=tuple(groups),
    )
