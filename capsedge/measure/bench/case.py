"""Build the record of one session from its samples."""

from statistics import fmean
from typing import Literal

from capsedge.contract import Contract
from capsedge.measure.bench.deployment import ErrorOnData, PeakMemory, Served
from capsedge.measure.bench.loop import Subject
from capsedge.measure.bench.report import Breakdown, Case, Warmup
from capsedge.measure.bench.stats import percentiles, ratio
from capsedge.measure.machine import Reading

_NO_BREAKDOWN = Breakdown()


def case_of(
    subject: Subject,
    first: Subject,
    *,
    warmup: Warmup,
    breakdown: Breakdown = _NO_BREAKDOWN,
    energy_mj: Reading = "unavailable",
    cpu_energy_mj: Reading = "unavailable",
    served: Served | None = None,
    memory: PeakMemory | None = None,
    on_data: ErrorOnData | None = None,
) -> Case:
    """Build the record of one session.

    Args:
        subject: The session with its samples.
        first: The first subject of the group, the denominator of the ratio; may be `subject` itself.
        warmup: Record of its warm-up.
        breakdown: Parts of a query.
        energy_mj: Energy of the GPU for one image, in millijoules.
        cpu_energy_mj: Energy of the processors for one image.
        served: Results of the scenario `server`.
        memory: Peak memory of a process of its own.
        on_data: Error on given data.
    """
    session, samples = subject.session, subject.samples_ms
    contract = session.contract
    error, error_on = error_of(contract)
    mean_ms = fmean(samples)
    return Case(
        label=subject.label,
        model=session.name,
        file=str(session.file),
        network=contract.name if contract else None,
        precision=contract.precision if contract else None,
        routing=_routing(contract) if contract else None,
        error=error,
        error_on=error_on,
        provider=session.provider,
        device=session.device,
        fell_back=session.fell_back,
        settings=session.settings,
        warmup=warmup,
        iterations=len(samples),
        mean_ms=mean_ms,
        min_ms=min(samples),
        max_ms=max(samples),
        percentiles=percentiles(samples),
        images_per_second=_images_per_second(subject, served, mean_ms),
        breakdown=breakdown,
        energy_mj=energy_mj,
        cpu_energy_mj=cpu_energy_mj,
        served=served,
        memory=memory,
        on_data=on_data,
        ratio=None if subject is first or served is not None else ratio(subject.rounds, first.rounds),
        samples_ms=tuple(map(tuple, subject.rounds)),
        sha256=subject.sha256,
    )


def _images_per_second(subject: Subject, served: Served | None, mean_ms: float) -> float:
    """Throughput; that of clients which are always busy is their number by the mean latency (Little's law)."""
    queries = 1000 * subject.clients / mean_ms if served is None else served.trial.answered_qps
    return subject.batch * queries


def error_of(contract: Contract | None) -> tuple[float | None, Literal["test", "validation"] | None]:
    """Error of the file on the test split, or on the validation split if there is no test score, and the split.

    Only scores of this file's precision count: a lower precision changes the error.
    """
    if contract is not None:
        of_file = {score.split: score.error for score in contract.scores if score.stage == contract.precision}
        for split in ("test", "validation"):
            if split in of_file:
                return of_file[split], split
    return None, None


def _routing(contract: Contract) -> str:
    return f"{contract.routing}, collapsed" if contract.collapsed else contract.routing
