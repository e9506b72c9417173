"""Latencies for a card, from a report of `capsedge bench` on the card's files."""

from msgspec.structs import replace

from benchmarks.card.record import Card
from capsedge.errors import WrongUse
from capsedge.export.card.latency import latencies_of
from capsedge.measure.bench.report import BenchReport


def with_latency(card: Card, report: BenchReport) -> Card:
    """A card with the latencies of its files, which replace earlier ones.

    Raises:
        WrongUse: The report is of other files.
    """
    found = latencies_of(report, {each.sha256: each.file for each in card.measured.values()})
    if not found:
        raise WrongUse(
            f"the report has no case of a file of '{card.name}': "
            f"capsedge bench {card.name} --sweep precision=fp32,int8"
        )
    return replace(card, latency=found)
