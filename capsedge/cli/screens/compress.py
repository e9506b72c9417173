"""The result of `capsedge compress`: the rounds, and the network before and after."""

from typing import TYPE_CHECKING

from capsedge.cli import console
from capsedge.cli.console import percent, say
from capsedge.cli.tables import Column, print_table

if TYPE_CHECKING:
    from capsedge.compress import Compression
    from capsedge.compress.record import Figures
    from capsedge.statistics import Difference


def show_compression(record: "Compression") -> None:
    """Print a line for each round, and a table of both networks."""
    for number, each in enumerate(record.rounds, 1):
        widths = ", ".join(f"{name} {count}" for name, count in each.counts.items())
        change = f"validation error {_points(each.change, ' ')}{'' if each.taken else ', over the limit'}"
        console.out.print(f"{number}: {100 * each.macs_share:.0f} % of the MACs, {change}: {widths}", soft_wrap=True)
    before, after, ratio = record.before, record.after, record.latency_ratio
    interval = "" if ratio.low is None else f"\n({ratio.low:.2f} to {ratio.high:.2f})"
    changes = [
        f"x {after.parameters / before.parameters:.2f}",
        f"x {after.macs / before.macs:.2f}",
        f"x {ratio.value:.2f}{interval}",
        _points(record.change, "\n"),
        "",
    ]
    names = (
        "parameters",
        "MACs per image",
        f"latency, {record.precision}, 1 thread",
        "validation error",
        "test error",
    )
    print_table(
        [
            Column("", names),
            Column("before", _cells(before), numeric=True),
            Column("after", _cells(after), numeric=True),
            Column("change (95 %)", changes, numeric=True),
        ]
    )


def say_notes(record: "Compression") -> None:
    """Print where the result misses the target, and the warnings."""
    limit, found = record.target.get("max_latency_ms"), record.after.latency_ms
    if limit is not None and found > limit:
        say(f"note: the final measurement gives a latency of {found:.3f} ms, above the target of {limit:g} ms")
    for warning in record.warnings:
        say(f"note: {warning}")


def _cells(each: "Figures") -> tuple[str, ...]:
    return (
        f"{each.parameters:,}",
        f"{each.macs:,}",
        f"{each.latency_ms:.3f} ms",
        percent(each.validation_error),
        percent(each.test_error),
    )


def _points(change: "Difference", between: str) -> str:
    """A change of an error in percentage points, with its interval."""
    return f"{100 * change.mean:+.2f} points{between}({100 * change.low:+.2f} to {100 * change.high:+.2f})"
