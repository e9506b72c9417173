"""The table of a study as Markdown, made from its record alone."""

from collections.abc import Iterator, Sequence

from benchmarks.ablation.record import AblationReport, VariantResult
from capsedge.processor import in_words
from capsedge.statistics import Difference, MeanSpread


def markdown(report: AblationReport) -> str:
    """The table with its heading and notes."""
    lines = _parts(report) if report.study == "parts" else _heads(report)
    return "\n".join([*_heading(report), "", *lines, "", *_notes(report)]) + "\n"


def _heading(report: AblationReport) -> Iterator[str]:
    processor = "an unknown processor" if report.processor is None else in_words(report.processor)
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    seeds = f"seed{'s' * (len(report.seeds) > 1)} {', '.join(map(str, report.seeds))}"
    changed = f" with {', '.join(f'`{each}`' for each in report.settings)}" if report.settings else ""
    yield f"`{report.command}`"
    yield ""
    yield f"`{report.network}`{changed}, {report.epochs} epochs, {seeds}. {report.data}. {processor}; {versions}."


def _parts(report: AblationReport) -> Iterator[str]:
    yield from _head("variant", "changes", "parameters", "MMAC", "epoch", "validation error, %", "less base", "s")
    for row in report.rows:
        yield _line(
            row.name,
            ", ".join(f"`{each}`" for each in row.changes),
            f"{row.cost.parameters:,}",
            _millions(row.cost.macs),
            _epochs(row),
            _error(row.validation_error),
            _points(row.validation_change),
            _seconds(row),
        )


def _heads(report: AblationReport) -> Iterator[str]:
    yield from _head(
        *("head", "its weights", "parameters", "of the head", "MMAC", "of the head", "epoch"),
        *("validation error, %", "less capsules", "test error, %", "less capsules", "s"),
    )
    for row in report.rows:
        yield _line(
            row.name,
            ", ".join(" x ".join(map(str, shape)) for shape in row.cost.head_shapes),
            f"{row.cost.parameters:,}",
            f"{row.cost.head_parameters:,}",
            _millions(row.cost.macs),
            _millions(row.cost.head_macs),
            _epochs(row),
            _error(row.validation_error),
            _points(row.validation_change),
            _error(row.test_error),
            _points(row.test_change),
            _seconds(row),
        )


def _notes(report: AblationReport) -> Iterator[str]:
    tested = f"; nothing was chosen by the {report.test_images:,} test images." if report.test_images else "."
    yield (
        f"Epochs were chosen by the {report.validation_images:,} validation images{tested} Errors are means over "
        "the seeds ± the standard deviation. Differences are in points, paired by image and seed; their 95 % "
        "intervals are over the images and do not include the effect of another seed. Parameters and MMAC (million "
        "multiply-accumulates per image) are those of the folded network, without biases. Seconds are the time of "
        "one training, possibly with other load on the machine."
    )
    short = [row.name for row in report.rows if len(row.trainings) < len(report.seeds)]
    if short:
        yield ""
        yield f"Not all seeds are finished of: {', '.join(short)}."


def _head(*titles: str) -> Iterator[str]:
    yield _line(*titles)
    yield f"|{'---|' * len(titles)}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _epochs(row: VariantResult) -> str:
    return ", ".join(str(each.best_epoch) for each in row.trainings)


def _seconds(row: VariantResult) -> str:
    seconds: Sequence[float] = [each.seconds for each in row.trainings]
    return f"{sum(seconds) / len(seconds):,.0f}"


def _millions(products: int) -> str:
    return f"{products / 1e6:.3f}"


def _error(error: MeanSpread | None) -> str:
    if error is None:
        return ""
    spread = "" if error.spread is None else f" ± {100 * error.spread:.2f}"
    return f"{100 * error.mean:.2f}{spread}"


def _points(change: Difference | None) -> str:
    if change is None:
        return ""
    return f"{100 * change.mean:+.2f} ({100 * change.low:+.2f} to {100 * change.high:+.2f})"
