"""A report as Markdown, made from the record alone: the same record always gives the same text."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from benchmarks.robustness.record import (
    ErrorDifference,
    ErrorRow,
    ForeignRow,
    NetworkRecord,
    RobustnessReport,
    WeakAttack,
)
from capsedge.processor import in_words

Row = TypeVar("Row", bound=ErrorRow | ErrorDifference)

_TITLES = {
    "clean": "as they are",
    "shift": "shift, {} px",
    "rotation": "rotation, {}°",
    "affine": "affine",
    "noise": "Gaussian noise, sigma {}",
    "blur": "Gaussian blur, sigma {} px",
    "fgsm": "FGSM, {}",
    "pgd": "PGD, {}",
    "strongest": "strongest, {}",
}
_ATTACKS = ("fgsm", "pgd", "strongest")


def markdown(report: RobustnessReport) -> str:
    """The tables of a report, with their explanations."""
    sections = (_heading, _conditions, _attacks, _foreign, _changes)
    texts = ("\n".join(section(report)) for section in sections)
    return "\n\n".join(text for text in texts if text) + "\n"


def _heading(report: RobustnessReport) -> Iterator[str]:
    processor = "an unknown processor" if report.processor is None else in_words(report.processor)
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    yield f"{report.data}; {report.test_images:,} test images measured, seed {report.seed}; {processor}; {versions}."
    yield ""
    yield from _table(
        ["network", "recipe", "routing", "computed by", "variations in training"],
        [
            [name, f"`{each.recipe}`", f"`{each.routing}`", each.provider, _variations(each)]
            for name, each in report.networks.items()
        ],
    )
    for name, each in report.networks.items():
        if not each.trained_on_these:
            yield ""
            yield f"{name} was trained on other images ({each.trained_on}); some of those may be measured here."


def _conditions(report: RobustnessReport) -> Iterator[str]:
    yield "Error in %, ± one standard error (binomial):"
    yield ""
    yield from _by_condition({name: each.conditions for name, each in report.networks.items()}, _error)


def _attacks(report: RobustnessReport) -> Iterator[str]:
    attacked = {name: each for name, each in report.networks.items() if each.attacks}
    files = [name for name, each in report.networks.items() if each.source == "file"]
    if attacked:
        yield (
            f"Error in % under attack, ± one standard error, on {report.attacked_images:,} of these test images, "
            f"spread evenly over them. PGD takes {report.steps} steps on the loss of the training, the "
            "margin loss or a linear head's cross-entropy. `strongest` counts the "
            "images that are wrong without an attack, under FGSM, under PGD, under PGD on the gap of lengths, or "
            "under one of these with a smaller epsilon:"
        )
        yield ""
        yield from _by_condition({name: each.attacks for name, each in attacked.items()}, _error)
        yield ""
        yield from _table(
            ["", *attacked],
            [
                [
                    "the loss has no gradient, so FGSM leaves the image as it is: % of the images",
                    *(_flat(each) for each in attacked.values()),
                ]
            ],
        )
        for name, each in attacked.items():
            for finding in each.findings:
                yield ""
                yield f"{name}: {_said(finding)}"
    if files:
        yield from ([""] if attacked else [])
        yield f"Not attacked, since an exported file gives no gradients: {', '.join(files)}."


def _foreign(report: RobustnessReport) -> Iterator[str]:
    networks = report.networks
    found = list(networks.values())
    yield (
        "Images of none of the classes, by their longest length, ± one standard error. An image is rejected below "
        "the threshold, which at least 95 % of the validation images reach:"
    )
    yield ""
    limits = [each.threshold for each in found]
    rows = [
        ["threshold", *(f"{each.length:.3f}" for each in limits)],
        ["test images kept, %", *(_share(each.test_kept, each.test_kept_standard_error) for each in limits)],
    ]
    for blanks in zip(*(each.blanks for each in found), strict=True):
        lengths = (f"{each.length:.3f} ({each.answer}), {'rejected' if each.rejected else 'kept'}" for each in blanks)
        rows.append([f"{blanks[0].name}: length", *lengths])
    for strangers in zip(*(each.foreign for each in found), strict=True):
        rows += _foreign_rows(strangers)
    yield from _table(["", *networks], rows)


def _foreign_rows(found: Sequence[ForeignRow]) -> Iterator[list[str]]:
    title = f"{found[0].name} ({found[0].images:,} images)"
    yield [f"{title}: above 0.5, %", *(_share(each.above_half, each.above_half_standard_error) for each in found)]
    yield [f"{title}: rejected, %", *(_share(each.rejected, each.rejected_standard_error) for each in found)]
    yield [f"{title}: AUROC", *(_area(each) for each in found)]


def _changes(report: RobustnessReport) -> Iterator[str]:
    first, *others = report.networks
    if not others:
        return
    changes = {
        name: (*each.condition_changes, *(row for row in each.attack_changes if row.kind in _ATTACKS))
        for name, each in report.networks.items()
        if name in others
    }
    yield f"Error less that of {first}, in points (95 % interval, paired by image):"
    yield ""
    yield from _by_condition(changes, _change)


def _by_condition(networks: Mapping[str, Sequence[Row]], cell: Callable[[Row], str]) -> Iterator[str]:
    """A row for each condition that any network has, a column for each network."""
    columns = [{_title(row): cell(row) for row in rows} for rows in networks.values()]
    titles = dict.fromkeys(title for column in columns for title in column)
    lines = [[title, *(column.get(title, "-") for column in columns)] for title in titles]
    yield from _table(["", *networks], lines)


def _title(row: ErrorRow | ErrorDifference) -> str:
    return _TITLES[row.kind].format(_epsilon(row.amount) if row.kind in _ATTACKS else _number(row.amount))


def _epsilon(amount: float | None) -> str:
    """Epsilon as a fraction of 255 if that is a whole number."""
    steps = 255 * (amount or 0)
    return f"{round(steps)}/255" if abs(steps - round(steps)) < 1e-6 else _number(amount)


def _number(amount: float | None) -> str:
    return "" if amount is None else f"{amount:g}"


def _error(row: ErrorRow) -> str:
    return _share(row.error, row.standard_error)


def _share(share: float, deviation: float) -> str:
    return f"{100 * share:.2f} ± {100 * deviation:.2f}"


def _area(row: ForeignRow) -> str:
    deviation = "" if row.auroc_standard_error is None else f" ± {row.auroc_standard_error:.4f}"
    return f"{row.auroc:.4f}{deviation}"


def _change(row: ErrorDifference) -> str:
    return f"{100 * row.mean:+.2f} ({100 * row.low:+.2f} to {100 * row.high:+.2f})"


def _flat(network: NetworkRecord) -> str:
    return "-" if network.flat is None else f"{100 * network.flat:.1f}"


def _variations(network: NetworkRecord) -> str:
    if network.variations is None:
        return "not in the file"
    return ", ".join(f"{key} {amount:g}" for key, amount in network.variations.items()) or "none"


def _said(finding: WeakAttack) -> str:
    error, beside = f"{100 * finding.error:.2f} %", f"{100 * finding.beside:.2f} %"
    epsilon = _epsilon(finding.epsilon)
    match finding.code:
        case "pgd-below-fgsm":
            return f"at {epsilon} PGD has an error of {error} and FGSM, which is weaker, one of {beside}."
        case "pgd-withstood":
            return (
                f"at {epsilon} PGD on the training's loss has an error of {error} only, where {beside} or more is "
                "expected: what it does not find at other sizes says nothing of robustness; read `strongest`."
            )
        case "all-withstood":
            return (
                f"at {epsilon} all attacks together have an error of {error} only, where {beside} or more is "
                "expected: the gradients are masked, and the errors under attack say nothing of robustness."
            )
        case "margin-loss-misses":
            return (
                f"at {epsilon} PGD on the training's loss has an error of {error}, and all attacks together {beside}."
            )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
