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
"""What the findings call each provider."""


class Finding(msgspec.Struct, frozen=True):
    """What was found about one thing that capsedge can use.

    Attributes:
        subject: The thing.
        state: `works` was proved by using it; `installed` is here and was not used; `missing` is not here; `broken`
            is here and must be mended.
        detail: What was seen.
        advice: What to install or do, or "" where nothing would help, or nothing is wanting.
    """

    subject: str
    state: State
    detail: str
    advice: str = ""


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
        runs = any(finding.state == "works" for finding in self.findings if finding.subject in SUBJECTS.values())
        return tuple(broken) if runs or broken else ("no provider runs a model",)
