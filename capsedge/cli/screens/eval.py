"""The result of `capsedge eval`: error rates, a table of the classes, and the wrong answers."""

from typing import TYPE_CHECKING

from capsedge.cli import console
from capsedge.cli.console import percent
from capsedge.cli.tables import Column, print_table
from capsedge.plural import number_of

if TYPE_CHECKING:
    from capsedge.measure.evaluate.measure import Evaluated, OfClass

_SHOWN = 10  # wrong answers
_CLASSES = 40  # rows


def print_evaluation(found: "Evaluated") -> None:
    """Print an evaluation: the classes with the lowest recall, and the first wrong answers."""
    _line(f"{found.model} on {found.data}")
    _line(
        f"error:    {percent(found.error)} of {number_of(found.images, 'image')} (95 %: {percent(found.low)} to "
        f"{percent(found.high)})"
    )
    _line(f"balanced: {percent(found.balanced_error)}, the mean over the classes")
    if found.comparison:
        other = found.comparison
        change = other.difference
        _line(
            f"compared: {other.model} {percent(other.error)}, difference {100 * change.mean:+.2f} points "
            f"({100 * change.low:+.2f} to {100 * change.high:+.2f}), McNemar p = {other.p_value:.3g} "
            f"(wrong in the first only: {other.first_alone:,}, in the other only: {other.other_alone:,})"
        )
    _print_classes(sorted(found.classes, key=lambda one: one.recall if one.recall is not None else 2))
    for one in found.mistakes[:_SHOWN]:
        _line(f"wrong: {one.name}: {one.answer} {one.length:.2f}, is {one.label} {one.length_of_label:.2f}")
    if len(found.mistakes) > _SHOWN:
        _line(f"and {len(found.mistakes) - _SHOWN:,} more: --html shows them, --csv and --json list them")
    if found.never_answered:
        _line(f"note: never answered: {', '.join(found.never_answered)}")
    for remark in found.remarks:
        _line(f"note: {remark.text}")


def _print_classes(classes: "list[OfClass]") -> None:
    shown = classes[:_CLASSES]
    print_table(
        [
            Column("class", [each.name for each in shown]),
            Column("images", [f"{each.images:,}" for each in shown], numeric=True),
            Column("recall", [_share(each.recall) for each in shown], numeric=True),
            Column("precision", [_share(each.precision) for each in shown], numeric=True),
            Column(
                "taken for", [", ".join(f"{name} ({count:,})" for name, count in each.taken_for) for each in shown]
            ),
        ]
    )
    if (others := len(classes) - _CLASSES) > 0:
        _line(f"and {number_of(others, 'class')} with a higher recall")


def _share(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _line(text: str) -> None:
    console.out.print(text, markup=False, soft_wrap=True)
