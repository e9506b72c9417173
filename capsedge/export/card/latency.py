"""Latencies for a card, from a report of `capsedge bench` on the card's files."""

from collections.abc import Mapping

import msgspec

from capsedge.measure.bench.report import BenchReport, Case, Group
from capsedge.processor import Processor


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """One case of a report of `capsedge bench`, for a file whose SHA-256 is on the card.

    Attributes:
        file: Name of the file.
        batch: Images in a query.
        threads: Threads of ONNX Runtime.
        iterations: Timed queries.
        p50_ms: Median latency of a query.
        p90_ms: The 90th percentile; None with too few iterations.
        p99_ms: The 99th percentile, likewise.
        images_per_second: Throughput.
        cpu: Model of the processor.
        processor: Its instruction sets; None if unknown.
        provider: Execution provider.
        created: Date and time in UTC.
        warnings: Warnings of the measurement.
    """

    file: str
    batch: int
    threads: int
    iterations: int
    p50_ms: float
    p90_ms: float | None
    p99_ms: float | None
    images_per_second: float
    cpu: str
    processor: Processor | None
    provider: str
    created: str
    warnings: tuple[str, ...]


def latencies_of(report: BenchReport, files: Mapping[str, str]) -> tuple[Latency, ...]:
    """The cases of a report that measured given files; empty if it measured others.

    Args:
        report: The report.
        files: The name of each file on the card, by the SHA-256 of its content.
    """
    return tuple(
        _latency(files[case.sha256], case, group, report)
        for group in report.groups
        for case in group.cases
        if case.sha256 is not None and case.sha256 in files
    )


def _latency(file: str, case: Case, group: Group, report: BenchReport) -> Latency:
    percentiles = {each.percent: each.value_ms for each in case.percentiles}
    return Latency(
        file=file,
        batch=group.batch,
        threads=case.settings.threads,
        iterations=case.iterations,
        p50_ms=percentiles[50],
        p90_ms=percentiles.get(90),
        p99_ms=percentiles.get(99),
        images_per_second=case.images_per_second,
        cpu=report.machine.cpu,
        processor=report.machine.processor,
        provider=case.provider,
        created=report.created,
        warnings=tuple(map(str, group.warnings)),
    )
