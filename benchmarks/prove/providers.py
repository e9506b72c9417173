"""The steps of ONNX Runtime's providers: each file opened, replayed and gated where it really runs."""

from collections.abc import Iterator, Mapping

import msgspec

from benchmarks.prove.asked import GateWanted, Opened
from benchmarks.prove.exports import described, figures
from benchmarks.prove.machine import SUBJECTS
from benchmarks.prove.place import Place, precision_of
from benchmarks.prove.record import Failed, Found, NotPossible
from capsedge.contract import Verdict
from capsedge.runtime.ort.placement import ORT_NAMES
from capsedge.runtime.providers import Provider
from capsedge.runtime.verify import Verification

EXPECTED: Mapping[Provider, tuple[str, ...]] = {
    "cpu": ("fp32", "fp16", "int8", "int8+fp16"),
    "cuda": ("fp32", "fp16"),
    "tensorrt": ("fp32", "fp16", "int8", "int8+fp16"),
    "tensorrt-rtx": ("fp32", "fp16", "int8", "int8+fp16"),
}
"""What each provider must run. The others are tried too: if they are refused, that is no failure but a finding."""


def on_provider(place: Place, provider: Provider, label: str) -> Iterator[Found]:
    """Replay a file's golden sample on a provider, and gate it there; the CPU's gate was a part of its export."""
    file = place.file(label)
    place.here.need(SUBJECTS[provider])
    try:
        found = _tried(place, provider, label, file)
    except Failed as error:
        if precision_of(label) in EXPECTED[provider]:
            raise
        raise NotPossible(f"{provider} does not take it: {error}") from error
    place.opened.append(Opened(f"{label} on {provider}", file, provider))
    yield found


def _tried(place: Place, provider: Provider, label: str, file: str) -> Found:
    replayed = place.capsedge("verify", file, "--provider", provider, "--json").answer(Verification)
    if not replayed.provider.startswith(ORT_NAMES[provider]):
        raise Failed(f"it ran on {replayed.provider}, and {provider} was asked for")
    data = {"golden": msgspec.to_builtins(replayed)}
    where = f"on {replayed.provider}, golden sample to {replayed.largest_difference:.1e}"
    if provider == "cpu":
        return Found(where, data)
    verdict = place.job("gate", GateWanted(file, place.run_of(label), provider)).answer(Verdict)
    data["gate"] = figures(verdict)
    if verdict.status != "accepted":
        raise Failed(f"{where}; the gate: {'; '.join(verdict.reasons)}")
    return Found(f"{where}; {described(verdict)}", data)
