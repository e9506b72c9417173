"""Time and memory of training steps, of several trainers side by side in one run.

A step is one iteration of Algorithm 1 as in training: the minibatch, the weight step, and the routing step where the
kind has one. Steps are interleaved: every round takes one step of each trainer, in rotating order, so that noise
affects all of them equally. Ratios are taken within a round.
"""

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from capsedge.errors import CapsedgeError, WrongUse
from capsedge.recipe import Recipe, to_values
from capsedge.training import Trainer

if TYPE_CHECKING:
    from capsedge.training.batches import Batch

WARM_UP = 2
MEMORY_STEPS = 4


class Quartiles(msgspec.Struct, frozen=True):
    """A median between its quartiles.

    Attributes:
        low: A quarter of the values lies below.
        median: Half of them.
        high: Three quarters.
    """

    low: float
    median: float
    high: float


class PeakMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one training in a process of its own.

    Attributes:
        peak_bytes: The most that it held: resident memory of the whole process on the CPU, with Python, torch and the
            images in it; memory of tensors on a CUDA device.
        before_bytes: The same, just before the first step.
    """

    peak_bytes: int
    before_bytes: int


class MemoryJob(msgspec.Struct, frozen=True, kw_only=True):
    """What `capsedge.reproduce.memory` is asked.

    Attributes:
        recipe: A recipe as plain values.
        device: `auto`, `cpu` or `cuda`.
        steps: How many.
    """

    recipe: dict[str, Any]
    device: str
    steps: int


def measure(
    trainers: Mapping[str, Trainer],
    *,
    rounds: int,
    warm_up: int = WARM_UP,
    progress: Callable[[float], None] = lambda _: None,
) -> dict[str, list[float]]:
    """Seconds of `rounds` steps of each trainer, in rounds of one step of each.

    Args:
        trainers: By label; they train on, and write nothing.
        rounds: Steps of each that count.
        warm_up: Rounds before those, which do not.
        progress: Told the share of the rounds that is done.

    Returns:
        For each label the seconds of its step in each round.
    """
    batches = {label: whole_batches(trainer) for label, trainer in trainers.items()}
    seconds: dict[str, list[float]] = {label: [] for label in trainers}
    order = list(trainers)
    for number in range(warm_up + rounds):
        order.append(order.pop(0))
        for label in order:
            spent = _step(trainers[label], batches[label])
            if number >= warm_up:
                seconds[label].append(spent)
        progress((number + 1) / (warm_up + rounds))
    return seconds


def whole_batches(trainer: Trainer) -> "Iterator[Batch]":
    """Whole minibatches for ever; the uneven last one of an epoch would be a cheaper step.

    Raises:
        WrongUse: There are fewer images than one batch takes.
    """
    size = trainer.recipe.train.batch_size
    for epoch in count():
        whole = 0
        for batch in trainer.batches.epoch(epoch):
            if batch.total == size:
                whole += 1
                yield batch
        if not whole:
            raise WrongUse(
                f"expected at least train.batch_size = {size} training images, got fewer: set a smaller batch"
            )


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of two values or more; of one, that one."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(seconds: Mapping[str, Sequence[float]], label: str, base: str) -> Quartiles:
    """How many times as long as `base` a step takes, round by round."""
    return quartiles([own / other for own, other in zip(seconds[label], seconds[base], strict=True)])


def peak_memory(recipe: Recipe, *, device: str = "auto", steps: int = MEMORY_STEPS) -> PeakMemory | None:
    """Memory of a few steps of a recipe, in a fresh process: no other training and no earlier step is in the figure.

    Args:
        recipe: What to train; its part `data` says on what.
        device: `auto`, `cpu` or `cuda`.
        steps: How many steps.

    Returns:
        The figures, or None where the system tells no process how much memory it held.

    Raises:
        CapsedgeError: The process failed.
    """
    job = msgspec.json.encode(MemoryJob(recipe=to_values(recipe), device=device, steps=steps))
    worker = [sys.executable, "-m", "capsedge.reproduce.memory"]
    done = subprocess.run(worker, input=job, capture_output=True, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or [f"exit code {done.returncode}"]
        raise CapsedgeError(f"the memory of recipe '{recipe.name}' could not be measured: {lines[-1]}")
    return msgspec.json.decode(done.stdout, type=PeakMemory | None)


def _step(trainer: Trainer, batches: "Iterator[Batch]") -> float:
    """Seconds of one step, from an idle device to an idle device."""
    device = trainer.devices.device
    _wait(device)
    start = time.perf_counter()
    trainer.iterate(next(batches))
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
