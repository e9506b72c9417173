"""A place whose processes answer what a test decides: so the steps of a GPU are taken where there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.prove.machine import Here, here_of
from benchmarks.prove.place import QUICK, Place
from benchmarks.prove.process import Said
from benchmarks.prove.record import Found
from benchmarks.prove.steps import Step
from capsedge.contract import Verdict
from capsedge.measure.doctor import Diagnosis, Finding
from capsedge.measure.machine import Machine
from capsedge.runtime.verify import Verification
from capsedge.statistics import Difference

# MADE UP, in the form of what `capsedge doctor --json` prints: no such machine has been seen.
GPU_MACHINE = Diagnosis(
    Machine(
        cpu="AMD Ryzen 7 7700X 8-Core Processor",
        cores=16,
        system="Linux x86_64",
        python="3.11.9",
        onnxruntime={"onnxruntime-gpu": "1.31.1"},
    ),
    (
        Finding("ONNX Runtime", "installed", "onnxruntime-gpu 1.31.1"),
        Finding("CPU", "works", "fashion-mnist (built in) gives the golden lengths of 20 images, to 7e-07"),
        Finding("CUDA", "works", "fashion-mnist (built in) gives the golden lengths of 20 images, to 2e-06"),
        Finding(
            "TensorRT in ONNX Runtime",
            "missing",
            "'tensorrt' was asked for, but ONNX Runtime (onnxruntime-gpu 1.31.1) gives CPUExecutionProvider, because "
            "libnvinfer.so.10 is missing: it needs an NVIDIA GPU with its driver, CUDA and cuDNN and TensorRT 10",
        ),
        Finding("NVIDIA GPU", "works", "NVIDIA GeForce RTX 4070 (sm89)"),
        Finding("TensorRT-RTX", "installed", "tensorrt_rtx 1.7.1.116 loads"),
        Finding("TensorRT", "missing", "the Python package 'tensorrt' is not installed", "comes with JetPack"),
        Finding("PyTorch", "installed", "torch 2.13.0"),
    ),
)

ACCEPTED = Verdict(
    status="accepted",
    provider="CUDAExecutionProvider",
    images=400,
    largest_length_difference=2e-6,
    mean_length_difference=3e-7,
    error=0.1,
    error_change=Difference(0.0, -0.001, 0.001),
)
REJECTED = Verdict(status="rejected", images=400, reasons=("a length differs by 0.2, more than 0.0001",))


def replayed(provider: str) -> Verification:
    """What `capsedge verify --json` prints of a file that keeps its promises."""
    return Verification(
        model="model.onnx",
        provider=provider,
        images=20,
        largest_difference=2e-6,
        tolerance=1e-4,
        same_class=20,
        weights=7,
        altered_weights=(),
        problems=(),
    )


def printed(value: Any, code: int = 0, reason: str = "") -> Said:
    """How a process ends that prints a value."""
    return Said(code, msgspec.json.encode(value), reason)


def refused(reason: str) -> Said:
    """How a process ends that fails."""
    return Said(1, b"", reason)


def gpu_machine(**changes: Finding) -> Here:
    """The machine above, with other findings on some subjects."""
    findings = {finding.subject: finding for finding in GPU_MACHINE.findings}
    return Here(findings | {finding.subject: finding for finding in changes.values()})


class Stage(Place):
    """A place with a GPU, a network and all files, where nothing is run.

    Args:
        out: Its folder.
        answer: Takes the words of a command, or a job's name and its question, and gives how the process ends.
    """

    def __init__(self, out: Path, answer: Callable[..., Said]) -> None:
        super().__init__(out, QUICK)
        self.answer = answer
        self.here = here_of(GPU_MACHINE)
        self.cuda = ("NVIDIA GeForce RTX 4070",)
        self.runs = {"network": "network", "dynamic": "dynamic"}
        self.files = {label: f"network/{label}.onnx" for label in ("fp32", "fp16", "bf16", "int8", "dynamic")}
        self.asked: list[tuple[Any, ...]] = []

    def capsedge(self, *words: str) -> Said:
        self.asked.append(words)
        return self.answer(*words)

    def job(self, name: str, question: Any = None) -> Said:
        self.asked.append((name, question))
        return self.answer(name, question)


def step(name: str, run: Callable[[Place], Any]) -> Step:
    """A step of a test's own."""
    return Step("tests", name, "capsedge", run)


def passing(place: Place) -> Any:
    """A step that has nothing to complain of."""
    del place
    yield Found("all is well", {"figure": 1})
