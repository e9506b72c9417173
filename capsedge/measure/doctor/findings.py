"""The records of the doctor."""

from typing import Literal

import msgspec

from capsedge.measure.machine import Machine
from capsedge.runtime.providers import Provider

State = Literal["works", "installed", "missing", "broken"]

SUBJECTS: dict[Provider, str] = {
    "cpu": "CPU",
    "cuda": "CUDA",
    "tensorrt": "TensorRT in ONNX Runtime",
    "tensorrt-rtx": "TensorRT-RTX in ONNX Runtime",
}
"""The subject of each provider's finding."""


class Finding(msgspec.Struct, frozen=True):
    """What was found about one thing that capsedge can use.

    Attributes:
        subject: Name of the thing.
        state: `works` was proved by using it; `installed` is here and was not used; `missing` is not here; `broken`
            is here and must be mended.
        detail: What was seen.
        advice: What to install or do, or "" where nothing would help, or nothing is wanting.
        code: Why it is in that state, such as `driver-too-old`; "" where the state says it all. It stays when the
            words change.
        provider: The execution provider that the finding is about; None where it is about something else.
        target: Compute capability of the GPU, such as `sm89`; "" where none is known.
    """

    subject: str
    state: State
    detail: str
    advice: str = ""
    code: str = ""
    provider: Provider | None = None
    target: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """Everything that was found.

    Attributes:
        machine: The machine.
        findings: One record for each thing, always of the same things in the same order.
    """

    machine: Machine
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What keeps capsedge from running a model here, or is broken."""
        broken = [finding.subject for finding in self.findings if finding.state == "broken"]
        runs = any(finding.state == "works" for finding in self.findings if finding.provider is not None)
        return tuple(broken) if runs or broken else ("no provider runs a model",)
