"""ONNX Runtime's providers: a file runs where it is asked to, gives its golden sample, and passes the gate."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from capsedge.contract import Verdict
from capsedge.measure.doctor.findings import SUBJECTS
from capsedge.runtime.ort.placement import ORT_NAMES
from capsedge.runtime.providers import OrtProvider
from capsedge.runtime.verify import Verification
from tests.gpu import jobs
from tests.gpu.artifacts import Artifacts, Opened, contract_in, described, precision_of
from tests.gpu.conftest import Need, Saw
from tests.gpu.process import capsedge, isolated

pytestmark = pytest.mark.gpu

EXPECTED: Mapping[OrtProvider, tuple[str, ...]] = {
    "cpu": ("fp32", "fp16", "int8", "int8+fp16"),
    "cuda": ("fp32", "fp16"),
    "tensorrt": ("fp32", "fp16", "int8", "int8+fp16"),
    "tensorrt-rtx": ("fp32", "fp16", "int8", "int8+fp16"),
}
"""What each provider must run. The others are tried too, and skipped where they are refused."""


@pytest.mark.parametrize("provider", ORT_NAMES)
def test_a_file_runs_and_is_accepted(
    artifacts: Artifacts, need: Need, saw: Saw, provider: OrtProvider, label: str
) -> None:
    need(SUBJECTS[provider])
    file, run = artifacts.file(label), artifacts.run_of(label)
    try:
        replayed, verdict = tried(file, run, provider)
    except pytest.fail.Exception as error:
        if precision_of(label) in EXPECTED[provider]:
            raise
        pytest.skip(f"{provider} does not take it: {error}")
    where = f"on {replayed.provider}, golden sample to {replayed.largest_difference:.1e}"
    figures = {"golden": msgspec.to_builtins(replayed), "gate": msgspec.to_builtins(verdict)}
    saw(f"{where}; {described(verdict)}", **figures)
    assert replayed.provider.startswith(ORT_NAMES[provider])
    assert verdict.status == "accepted", "; ".join(verdict.reasons)
    if provider == "cpu":
        assert verdict == contract_in(file).verdict  # which is what the gate found at the export
    artifacts.opened.append(Opened(label, provider, file, provider))


def tried(file: Path, run: Path, provider: OrtProvider) -> tuple[Verification, Verdict]:
    """Replay the golden sample, and gate the file, on a provider."""
    replayed = capsedge("verify", file, "--provider", provider, kind=Verification)
    return replayed, isolated(jobs.gate, file, run, provider)
