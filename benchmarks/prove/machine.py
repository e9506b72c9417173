"""The first steps: what machine this is, by `capsedge doctor`, by the driver, and by torch."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.prove import process
from benchmarks.prove.asked import Torch
from benchmarks.prove.record import Found, NotPossible
from capsedge.measure.doctor import Diagnosis, Finding

if TYPE_CHECKING:
    from benchmarks.prove.place import Place

GPU = "NVIDIA GPU"
# What the doctor calls what a step needs.
SUBJECTS = {
    "cpu": "CPU",
    "cuda": "CUDA",
    "tensorrt": "TensorRT in ONNX Runtime",
    "tensorrt-rtx": "TensorRT-RTX in ONNX Runtime",
    "engine of tensorrt_rtx": "TensorRT-RTX",
    "engine of tensorrt": "TensorRT",
}
LEFT_ON_THE_CPU = "would run on the CPU"
"""How a provider is refused that is there, and does not take a file whole: that is no missing part of a machine."""

_JETSON = Path("/etc/nv_tegra_release")
_ASKED_OF_SMI = "driver_version,memory.total,power.limit"


@dataclass(frozen=True)
class Here:
    """The machine as the doctor found it; before that, a machine of which nothing is known.

    Attributes:
        findings: The doctor's findings by their subjects.
    """

    findings: Mapping[str, Finding] = field(default_factory=dict)

    @property
    def gpu(self) -> str:
        """Name and compute capability, such as `Orin (sm87)`; "" where there is none."""
        return "" if self.lacks(GPU) else self.findings[GPU].detail

    @property
    def target(self) -> str:
        """The GPU as a target of engines, such as `sm87`; "" where there is none."""
        return self.gpu.rpartition("(")[2].removesuffix(")")

    def lacks(self, subject: str) -> str:
        """Why something cannot be used here; "" where it can, or is there and broken."""
        if subject not in self.findings:
            return f"the doctor said nothing about {subject}"
        found = self.findings[subject]
        if found.state != "missing" or LEFT_ON_THE_CPU in found.detail:
            return ""
        return "; ".join(filter(None, (found.detail, found.advice)))

    def need(self, subject: str) -> None:
        """Go on only where something can be used.

        Raises:
            NotPossible: It cannot; the text says what is missing.
        """
        if reason := self.lacks(subject):
            raise NotPossible(f"{subject}: {reason}")


def here_of(diagnosis: Diagnosis) -> Here:
    """The machine that the doctor describes."""
    return Here({finding.subject: finding for finding in diagnosis.findings})


def doctor(place: "Place") -> Iterator[Found]:
    """`capsedge doctor`; what it finds decides which of the later steps are possible."""
    diagnosis = place.capsedge("doctor", "--json").printed(Diagnosis)
    place.here = here_of(diagnosis)
    data = msgspec.to_builtins(diagnosis)
    if diagnosis.problems:
        yield Found(f"needs mending: {', '.join(diagnosis.problems)}", data, "failed")
        return
    working = [finding.subject for finding in diagnosis.findings if finding.state == "works"]
    yield Found(f"{diagnosis.machine.cpu}, {diagnosis.machine.cores} cores; works: {', '.join(working)}", data)


def gpu(place: "Place") -> Iterator[Found]:
    """The GPU as CUDA names it; with what the driver says, and on a Jetson the release of its board support."""
    place.here.need(GPU)
    jetson = _JETSON.read_text().partition("\n")[0] if _JETSON.is_file() else ""
    driver = _smi(place)
    yield Found("; ".join(filter(None, (place.here.gpu, driver, jetson))), {"driver": driver, "jetson": jetson})


def _smi(place: "Place") -> str:
    """Driver, memory and power limit of each GPU; "" where there is no nvidia-smi, as on some Jetsons."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    words = [program, f"--query-gpu={_ASKED_OF_SMI}", "--format=csv,noheader"]
    said = process.run(words, folder=place.out, limit_s=60)
    return "; ".join(said.out.decode(errors="replace").splitlines()) if said.code == 0 else ""


def torch_devices(place: "Place") -> Iterator[Found]:
    """What torch sees, which may be another CUDA than that of the providers."""
    seen = place.job("torch_devices").answer(Torch)
    place.cuda = seen.devices
    if not seen.devices:
        built = f"was built for CUDA {seen.cuda}" if seen.cuda else "was built without CUDA"
        raise NotPossible(f"torch {seen.version} finds no CUDA device: it {built}")
    yield Found(f"torch {seen.version}, CUDA {seen.cuda}: {', '.join(seen.devices)}", msgspec.to_builtins(seen))
