"""Where a proof takes place: what it shall do, what machine this is, and what earlier steps left for later ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.prove import process
from benchmarks.prove.asked import Opened
from benchmarks.prove.machine import Here
from benchmarks.prove.record import NotPossible
from capsedge.contract import PRECISIONS, Precision

SUBSET = "data.source=fashion-mnist-subset"
# Of every training that names no other: a CPU's losses are held against a GPU's, and one of them may have no bf16.
FP32 = "train.precision=fp32"
DYNAMIC, DECODER = "dynamic", "decoder"
"""Labels of the files beside the precisions: dynamic routing, and the collapsed network with its decoder."""

# Thin enough to be trained on one core in a second; `--quick` proves the command, not a network.
_TINY = ("network.filters=8", "network.capsule_types=2", "network.primary_dim=4", "network.class_dim=4")


@dataclass(frozen=True)
class Plan:
    """What a proof does.

    Attributes:
        small: The recipe of the first trainings on CUDA, and its changes.
        network: The recipe that is exported, and its changes.
        exports: The precisions of each `capsedge export`.
        engines: Labels of the files that become engines of each TensorRT.
        batches: Batch sizes that are timed.
        seconds: Time for each model at each batch size.
        limit_s: Time limit of each process.
    """

    small: tuple[str, tuple[str, ...]]
    network: tuple[str, tuple[str, ...]]
    exports: tuple[tuple[Precision, ...], ...]
    engines: tuple[str, ...]
    batches: tuple[int, ...]
    seconds: float
    limit_s: float

    @property
    def labels(self) -> tuple[str, ...]:
        """All files: the collapsed network in each precision; with its decoder, and dynamic routing, in fp32."""
        return (*(precision for several in self.exports for precision in several), DECODER, DYNAMIC)


FULL = Plan(
    small=("fashion-mnist-l2-small", (SUBSET, FP32, "train.epochs=1")),
    network=("fashion-mnist-l2", (SUBSET, FP32, "train.epochs=10")),
    exports=tuple((precision,) for precision in PRECISIONS),
    engines=(*PRECISIONS, DECODER, DYNAMIC),
    batches=(1, 8, 64),
    seconds=3.0,
    limit_s=1800.0,
)
QUICK = Plan(
    small=("fashion-mnist-l2-small", (SUBSET, FP32, *_TINY, "train.epochs=1")),
    network=(
        "fashion-mnist-l2-small",
        (SUBSET, FP32, *_TINY, "network.decoder=[16]", "train.epochs=3", "train.batch_size=64"),
    ),
    exports=(("fp32", "int8", "bf16"),),
    engines=("int8", "bf16"),
    batches=(1, 8),
    seconds=0.05,
    limit_s=300.0,
)


@dataclass
class Place:
    """A proof on its way.

    Attributes:
        out: The folder that it fills; processes run in it, so that no path of this machine gets into a record.
        plan: What it does.
        given: The run to export, where one was given.
        here: The machine, once `capsedge doctor` has told.
        cuda: Names of the CUDA devices that torch sees, once asked.
        runs: The folders of the trained networks, by what they are: `network` and `dynamic`.
        files: The accepted files by their labels: a precision, `decoder` or `dynamic`.
        engines: The engines that were built, by a name such as `fp16 of tensorrt_rtx`.
        opened: What ran here, and so can be timed.
    """

    out: Path
    plan: Plan
    given: Path | None = None
    here: Here = field(default_factory=Here)
    cuda: tuple[str, ...] = ()
    runs: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    opened: list[Opened] = field(default_factory=list)

    @property
    def gpu(self) -> str:
        """The GPU as the doctor or torch names it; "" where there is none."""
        return self.here.gpu or next(iter(self.cuda), "")

    def capsedge(self, *words: str) -> process.Said:
        """Run a command in the folder; see `process.capsedge`."""
        return process.capsedge(*words, folder=self.out, limit_s=self.plan.limit_s)

    def job(self, name: str, question: Any = None) -> process.Said:
        """Run a job in the folder; see `process.job`."""
        return process.job(name, question, folder=self.out, limit_s=self.plan.limit_s)

    def file(self, label: str) -> str:
        """The file of a label.

        Raises:
            NotPossible: It was not exported.
        """
        if label not in self.files:
            raise NotPossible(f"there is no file of {label}: its export did not give one")
        return self.files[label]

    def run_of(self, label: str) -> str:
        """The run that a label's file is exported from.

        Raises:
            NotPossible: It was not trained.
        """
        name = DYNAMIC if label == DYNAMIC else "network"
        if name not in self.runs:
            raise NotPossible(f"there is no run '{name}': its training failed")
        return self.runs[name]


def precision_of(label: str) -> str:
    """The precision of a label's file."""
    return "fp32" if label in (DYNAMIC, DECODER) else label
