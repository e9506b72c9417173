"""Continue an interrupted measurement from the report that it saved."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from capsedge.errors import DataError, WrongUse
from capsedge.measure.bench.files import OTHER_SCHEMA, UNREADABLE, load
from capsedge.measure.bench.measure import sha256_of
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.bench.sweep import Variant
from capsedge.runtime.open import model_file


def measured_before(
    file: Path, asked: BenchReport, batches: Sequence[int], laid_out: Sequence[Variant]
) -> tuple[Group, ...]:
    """Groups that an interrupted process of the same measurement saved in the output file.

    Args:
        file: The output file; it need not exist.
        asked: Report of this process, without groups.
        batches: All batches of the measurement.
        laid_out: The variants to measure.

    Raises:
        ModelError: A file to measure is missing.
        WrongUse: The file is not readable or not a report, or holds an unfinished measurement of another command.
            Writing the new report would destroy it.
    """
    if not file.exists():
        return ()
    try:
        earlier = load(file)
    except DataError as error:
        if error.code == OTHER_SCHEMA:  # a report of another version: it is overwritten
            return ()
        other = f"'{file}' exists and is not a report of capsedge bench, or is damaged"
        raise WrongUse(error.text if error.code == UNREADABLE else other, "choose another --output") from error
    found = resumable_groups(earlier, asked, batches, laid_out)
    if earlier.unfinished and not found:
        raise WrongUse(
            f"'{file}' holds an unfinished measurement of `{shlex.join(earlier.command)}`, which differs in command, "
            "machine, versions or model files",
            "repeat that command, choose another --output, or remove the file",
        )
    return found


def resumable_groups(
    earlier: BenchReport, asked: BenchReport, batches: Sequence[int], laid_out: Sequence[Variant]
) -> tuple[Group, ...]:
    """Groups of an unfinished report that this measurement can continue.

    Command, plan, version of capsedge, machine with its versions, and SHA-256 of the files must be the same. A
    finished report has none: repeating a finished command measures again.

    Raises:
        ModelError: A file to measure is missing.
    """
    if not earlier.unfinished or _identity(earlier) != _identity(asked):
        return ()
    files = [(variant.label, sha256_of(model_file(variant.file))) for variant in laid_out]
    groups = tuple(group for group in earlier.groups if group.batch in batches)
    same = all([(case.label, case.sha256) for case in group.cases] == files for group in groups)
    return groups if same and all(sha256 is not None for _, sha256 in files) else ()


def _identity(report: BenchReport) -> tuple[object, ...]:
    """Fields that must be equal to continue a measurement."""
    return report.command, report.plan, report.capsedge, report.machine
