"""Artifacts that the tests share in one folder, each made once: trained runs, exported files, engines."""

import shutil
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capsedge.contract import PRECISIONS, Contract, Verdict, contract_of
from capsedge.onnx_lite.file import read_onnx_file
from capsedge.runtime.providers import Provider
from tests.gpu.process import capsedge

DYNAMIC, DECODER = "dynamic", "decoder"
"""Labels of the files beside the precisions: dynamic routing, and the collapsed network with its decoder."""

BETTER_THAN_GUESSING = 0.1
"""Smallest difference between a guess's error and a trained network's, as a share of the images."""

# Every training is in fp32 where it names no other precision: losses on the CPU are compared with those on a GPU, and
# one of them may have no bf16.
_DATA = ("data.source=fashion-mnist-subset", "train.precision=fp32")
# Narrow enough to be trained on one core in seconds.
_TINY = ("network.filters=8", "network.capsule_types=2", "network.primary_dim=4", "network.class_dim=4")
# From the recipe of any collapsible run to dynamic routing with the same widths.
_TO_DYNAMIC = ("routing.kind=dynamic", "routing.sigma=0.1", "routing.proximal=false")


@dataclass(frozen=True)
class Training:
    """A shipped recipe with changes in the form of `capsedge train --set`."""

    recipe: str
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """The scope of the proof.

    Attributes:
        small: The first network that is trained on CUDA.
        full: The network that is exported.
        labels: The files: the collapsed network in each precision; with its decoder, and dynamic routing, in fp32.
        engines: Labels of the files that become engines of each TensorRT.
        batches: Batch sizes that are timed.
        seconds: Time for each model at each batch size.
    """

    small: Training
    full: Training
    labels: tuple[str, ...]
    engines: tuple[str, ...]
    batches: tuple[int, ...]
    seconds: float


FULL = Plan(
    small=Training("fashion-mnist-l2-small", (*_DATA, "train.epochs=1")),
    full=Training("fashion-mnist-l2", (*_DATA, "train.epochs=10")),
    labels=(*PRECISIONS, DECODER, DYNAMIC),
    engines=(*PRECISIONS, DECODER, DYNAMIC),
    batches=(1, 8, 64),
    seconds=3.0,
)
QUICK = Plan(
    small=Training("fashion-mnist-l2-small", (*_DATA, *_TINY, "train.epochs=1")),
    full=Training(
        "fashion-mnist-l2-small",
        (*_DATA, *_TINY, "train.epochs=3", "train.batch_size=64"),
    ),
    labels=("fp32", "int8", "bf16", DYNAMIC),
    engines=("int8",),
    batches=(1, 8),
    seconds=0.05,
)


@dataclass(frozen=True)
class Opened:
    """A file that ran here, so that it can be timed and served.

    Attributes:
        label: Label of the network or precision, such as `int8` or `dynamic`.
        where: Execution provider, or kind of engine.
        file: The file.
        provider: Execution provider of an ONNX file; None for an engine.
    """

    label: str
    where: str
    file: Path
    provider: Provider | None = None

    @property
    def title(self) -> str:
        """Name in the tables, such as `int8 on cuda`."""
        return f"{self.label} on {self.where}"


@dataclass
class Artifacts:
    """The folder of the artifacts, and its content so far.

    Attributes:
        folder: The folder.
        plan: The scope of the proof.
        given: The run to export instead of one that is trained here.
        cuda: Whether torch has a CUDA device.
        opened: The files that ran here.
    """

    folder: Path
    plan: Plan
    given: Path | None
    cuda: bool
    opened: list[Opened] = field(default_factory=list)
    _made: dict[str, Path] = field(default_factory=dict)
    _lacking: dict[str, str] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Path]) -> Path:
        """Make an artifact, or return the existing one; after a failure, later tests that need it are skipped."""
        if name in self._lacking:
            pytest.skip(f"needs '{name}', which was not made: {self._lacking[name]}")
        if name not in self._made:
            try:
                self._made[name] = make()
            except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
                self._lacking[name] = str(error)
                raise
        return self._made[name]

    def trained(self, name: str, training: Training, device: str, *words: str, learned: bool = True) -> Path:
        """A training by `capsedge train`, on the device that it was told.

        Args:
            name: Of its folder.
            training: What is trained.
            device: `cpu` or `cuda`.
            words: Further options.
            learned: Whether it must do better than a guess.
        """

        def train() -> Path:
            folder = self.folder / name
            sets = [word for change in training.changes for word in ("--set", change)]
            where = ("--run", folder, "--device", device)
            record = capsedge("train", training.recipe, *where, *words, *sets, kind=dict[str, Any])
            assert record["device"].startswith(device), f"trained on {record['device']}, expected {device}"
            error = validation_error(record)
            guess = 1 - 1 / len(record["classes"])
            assert not learned or error <= guess - BETTER_THAN_GUESSING, (
                f"error {100 * error:.1f} %, a guess has {100 * guess:.0f} %"
            )
            return folder

        return self.once(name, train)

    def network(self) -> Path:
        """The run of all exported files except that of dynamic routing."""
        if self.given is not None:
            return self.once("network", self._given)
        if self.cuda and "full-fp32" not in self._lacking:
            return self.trained("full-fp32", self.plan.full, "cuda")
        return self.trained("network", self.plan.full, "cpu")

    def _given(self) -> Path:
        assert self.given is not None
        skipped = shutil.ignore_patterns("*.onnx*", "*.engine*", ".*")
        return Path(shutil.copytree(self.given, self.folder / self.given.name, ignore=skipped))

    def dynamic(self) -> Path:
        """Dynamic routing with the same widths and images, for comparison with the collapsed network."""
        run = self.network()
        record = record_of(run)
        device = "cuda" if self.cuda and record["device"].startswith("cuda") else "cpu"
        # A given run may have taken hours; latency does not depend on the weights.
        changes = (*_TO_DYNAMIC, *(["train.epochs=1"] if self.given else []))
        training = Training(str(run / "recipe.toml"), changes)
        return self.trained(DYNAMIC, training, device, "--data", record["data_source"], learned=False)

    def run_of(self, label: str) -> Path:
        """The run of a label's exported file."""
        return self.dynamic() if label == DYNAMIC else self.network()

    def file(self, label: str) -> Path:
        """The exported file of a label; `capsedge export` keeps only files that its gate does not reject."""

        def export() -> Path:
            run = self.run_of(label)
            words: Sequence[str | Path] = ("--precision", precision_of(label))
            if label == DECODER:
                if not tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))["network"]["decoder"]:
                    pytest.skip(f"the network of '{run.name}' has no decoder")
                words = ("--with-decoder", "--output", run / "decoder.onnx")
            (made,) = capsedge("export", run, *words, kind=_Exports).exported
            return Path(made.model)

        return self.once(f"{label}.onnx", export)


class _File(msgspec.Struct):
    model: str


class _Exports(msgspec.Struct):
    """The fields of `capsedge export --json` that are needed here."""

    exported: tuple[_File, ...]


def precision_of(label: str) -> str:
    """The precision of a label's file."""
    return "fp32" if label in (DYNAMIC, DECODER) else label


def record_of(run: Path) -> dict[str, Any]:
    """A run's record as plain values: `capsedge.training` would load torch into this process."""
    record: dict[str, Any] = msgspec.json.decode((run / "run.json").read_bytes())
    return record


def validation_error(record: dict[str, Any]) -> float:
    """The validation error of a run's record, 0 to 1."""
    return next(float(score["error"]) for score in record["scores"] if score["split"] == "validation")


def contract_in(file: Path) -> Contract:
    """The contract of an exported file."""
    contract = contract_of(read_onnx_file(file), source=str(file))
    assert contract is not None, f"{file} carries no contract"
    return contract


def described(verdict: Verdict) -> str:
    """A verdict's figures on one line."""
    parts = []
    if verdict.largest_length_difference is not None and verdict.mean_length_difference is not None:
        largest, mean = verdict.largest_length_difference, verdict.mean_length_difference
        parts.append(f"length difference {largest:.1e} at most, {mean:.1e} on average")
    if verdict.error is not None:
        parts.append(f"error {100 * verdict.error:.2f} %")
    if verdict.error_change is not None:
        change = verdict.error_change
        parts.append(f"{100 * change.mean:+.2f} points ({100 * change.low:+.2f} to {100 * change.high:+.2f})")
    return ", ".join(parts)
