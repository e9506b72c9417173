"""Latencies for a card, from a report of `capsedge bench` on the card's files."""

from msgspec.structs import replace

from benchmarks.card.record import Card, Latency
from capsedge.errors import WrongUse
from capsedge.measure.bench.report import BenchReport, Case, Group


def with_latency(card: Card, report: BenchReport) -> Card:
    """A card with the latencies of its files, which replace earlier ones.

    Raises:
        WrongUse: The report is of other files.
    """
    files = {each.sha256: each.file for each in card.measured.values()}
    found = tuple(
        _latency(files[case.sha256], case, group, report)
        for group in report.groups
        for case in group.cases
        if case.sha256 in files
    )
    if not found:
        raise WrongUse(
            f"the report has no case of a file of '{card.name}': "
            f"capsedge bench {card.name} --sweep precision=fp32,int8"
        )
    return replace(card, latency=found)


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
