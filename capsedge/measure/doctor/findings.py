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
    "openvino": "OpenVINO",
}
"""The subject of each provider's finding."""


class Finding(msgspec.Struct, frozen=True):
    """The state of one component that capsedge can use.

    Attributes:
        subject: Name of the component.
        state: `works`: it was used successfully; `installed`: it is here and was not used; `missing`: it is not here;
            `broken`: it is here and fails.
        detail: The facts behind the state.
        advice: What to install or do; "" where nothing would help or is needed.
        code: Reason for the state, such as `driver-too-old`; "" where the state says everything. Codes stay when the
            texts change.
        provider: The execution provider that the finding is about; None for other subjects.
        target: Compute capability of the GPU, such as `sm89`; "" where it is not known.
    """

    subject: str
    state: State
    detail: str
    advice: str = ""
    code: str = ""
    provider: Provider | None = None
    target: str = ""


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings.

    Attributes:
        machine: The machine.
        findings: One for each component, in the same order; a Jetson and a Raspberry Pi have some more than others.
    """

    machine: Machine
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Subjects that are broken, or that no provider runs a model."""
        broken = [finding.subject for finding in self.findings if finding.state == "broken"]
        runs = any(finding.state == "works" for finding in self.findings if finding.provider is not None)
        return tuple(broken) if runs or broken else ("no provider runs a model",)
