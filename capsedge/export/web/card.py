"""The model's card on the page: rows of a name and a text, from its contract."""

from collections.abc import Iterator

from capsedge.contract import Contract, Score, Verdict
from capsedge.plural import number_of
from capsedge.statistics import wilson_interval


def summary(contract: Contract) -> str:
    """One sentence about what the model tells apart."""
    colour = "grey" if contract.input.channels == 1 else "colour"
    shown = f"{contract.input.height} x {contract.input.width} pixels in {colour}"
    return f"A capsule network for {number_of(len(contract.classes), 'class')}, seen at {shown}."


def card(contract: Contract, size_bytes: int) -> Iterator[tuple[str, str]]:
    """The rows.

    Args:
        contract: The contract of the file.
        size_bytes: Size of the ONNX file.
    """
    yield "run", f"{contract.name}, recipe {contract.recipe}"
    yield "trained on", contract.data
    for score in contract.scores:
        yield f"{score.split} error, {score.stage}", _error(score)
    yield "classes", ", ".join(contract.classes)
    if contract.labels > 1:
        yield "answer", f"the {contract.labels} longest capsules"
    yield "precision", _precision(contract)
    if contract.calibration is not None:
        yield "calibration", contract.calibration.text
    yield "size", f"{contract.parameters:,} parameters, {contract.flops / 1e6:.1f} MFLOPs, {size_bytes / 1e6:.2f} MB"
    yield "routing", f"{contract.routing}, {'collapsed' if contract.collapsed else 'computed for each image'}"
    if contract.verdict is not None:
        yield "gate", _gate(contract.verdict)
    golden = contract.golden
    yield "golden images", f"{len(golden.labels)}, lengths within {golden.tolerance:g}"
    yield "made with", ", ".join(f"{name} {version}" for name, version in contract.versions.items())
    yield "graph SHA-256", contract.graph_sha256


def _error(score: Score) -> str:
    low, high = wilson_interval(round(score.error * score.images), score.images)
    return (
        f"{100 * score.error:.2f} % of {score.images:,} images, 95 % interval {100 * low:.2f} to {100 * high:.2f} %"
    )


def _precision(contract: Contract) -> str:
    return ", ".join(f"{kind}: {100 * share.flops:.1f} % of the FLOPs" for kind, share in contract.shares.items())


def _gate(verdict: Verdict) -> str:
    told = f"{verdict.status} on {verdict.provider}, {number_of(verdict.images, 'validation image')}"
    if verdict.top1_agreement is not None:
        told += f"; the trained network's answer on {100 * verdict.top1_agreement:.2f} % of them"
    if verdict.largest_length_difference is not None:
        told += f"; largest length difference {verdict.largest_length_difference:.2g}"
    return told
