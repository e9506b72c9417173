"""What the report says of one session."""

from statistics import fmean
from typing import Literal

from capsedge.contract import Contract
from capsedge.measure.bench.percentiles import percentiles
from capsedge.measure.bench.ratio import ratio
from capsedge.measure.bench.report import Case, Parts, Warmup
from capsedge.measure.bench.subject import Subject
from capsedge.measure.machine import Reading

_NO_PARTS = Parts()


def case_of(
    subject: Subject,
    first: Subject,
    *,
    warmup: Warmup,
    parts: Parts = _NO_PARTS,
    energy_mj: Reading = "unavailable",
) -> Case:
    """Put together what was found.

    Args:
        subject: Measured.
        first: What it is compared with; itself where it comes first.
        warmup: Its warm-up.
        parts: Where its time goes.
        energy_mj: Its energy for one image.
    """
    session, samples = subject.session, subject.samples_ms
    contract = session.contract
    error, error_on = error_of(contract)
    mean_ms = fmean(samples)
    return Case(
        label=subject.label,
        model=session.name,
        precision=contract.precision if contract else None,
        routing=_routing(contract) if contract else None,
        error=error,
        error_on=error_on,
        provider=session.provider,
        fell_back=session.fell_back,
        settings=session.settings,
        warmup=warmup,
        runs=len(samples),
        mean_ms=mean_ms,
        min_ms=min(samples),
        max_ms=max(samples),
        percentiles=percentiles(samples),
        images_per_second=1000 * subject.batch / mean_ms,
        parts=parts,
        energy_mj=energy_mj,
        ratio=None if subject is first else ratio(subject.rounds, first.rounds),
        samples_ms=tuple(map(tuple, subject.rounds)),
        sha256=subject.sha256,
    )


def error_of(contract: Contract | None) -> tuple[float | None, Literal["test", "validation"] | None]:
    """The error of the file itself on the test split, or else on the validation split, and which of them it is.

    The scores of the trained network are another file's: lower precision changes the error, which is what somebody
    wants to hold against the latency.
    """
    if contract is not None:
        of_file = {score.split: score.error for score in contract.scores if score.stage == contract.precision}
        for split in ("test", "validation"):
            if split in of_file:
                return of_file[split], split
    return None, None


def _routing(contract: Contract) -> str:
    return f"{contract.routing}, collapsed" if contract.collapsed else contract.routing
