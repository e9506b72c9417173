"""Continues a measurement that was cut off, from the report that it had written by then."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from capsedge.errors import DataError, WrongUse
from capsedge.measure.bench.files import OTHER_SCHEMA, load
from capsedge.measure.bench.measure import sha256_of
from capsedge.measure.bench.report import BenchReport, Group
from capsedge.measure.bench.sweep import Variant
from capsedge.runtime.open import model_file


def measured_before(
    file: Path, asked: BenchReport, batches: Sequence[int], laid_out: Sequence[Variant]
) -> tuple[Group, ...]:
    """Give what an earlier process of the same measurement left in the file that shall hold the report.

    Args:
        file: Where the report will be written; it may not be there.
        asked: The report of this process, without groups.
        batches: Of the whole measurement.
        laid_out: What is to be measured side by side.

    Raises:
        ModelError: A file to measure is missing.
        WrongUse: The file is something else, or an unfinished measurement of another command: both would be lost.
    """
    if not file.exists():
        return ()
    try:
        earlier = load(file)
    except DataError as error:
        if error.code == OTHER_SCHEMA:  # an earlier report, which this one replaces
            return ()
        raise WrongUse(f"'{file}' exists and is no report of capsedge bench: choose another --output") from error
    found = cut_off(earlier, asked, batches, laid_out)
    if earlier.unfinished and not found:
        raise WrongUse(
            f"'{file}' holds the beginning of `{shlex.join(earlier.command)}`, of other files or of another machine: "
            "repeat that command, choose another --output, or remove the file"
        )
    return found


def cut_off(
    earlier: BenchReport, asked: BenchReport, batches: Sequence[int], laid_out: Sequence[Variant]
) -> tuple[Group, ...]:
    """The groups of an earlier report that was cut off before its end, if it is one of the very same measurement.

    That is the same command and plan, by the same capsedge, on the same machine with the same versions, of the very
    same files. A report that is whole gives none: who asks again wants to measure again.

    Raises:
        ModelError: A file to measure is missing.
    """
    if not earlier.unfinished or _asked_and_where(earlier) != _asked_and_where(asked):
        return ()
    files = [(variant.label, sha256_of(model_file(variant.file))) for variant in laid_out]
    groups = tuple(group for group in earlier.groups if group.batch in batches)
    same = all([(case.label, case.sha256) for case in group.cases] == files for group in groups)
    return groups if same and all(sha256 is not None for _, sha256 in files) else ()


def _asked_and_where(report: BenchReport) -> tuple[object, ...]:
    """What has to be the same for two measurements to be one."""
    return report.command, report.plan, report.capsedge, report.machine
