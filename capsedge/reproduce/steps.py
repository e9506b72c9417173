"""Time and memory of training steps of several trainers.

A step is one iteration of Algorithm 1 as in training: the minibatch, the weight step, and the routing step if the
kind has one. Steps are interleaved: every round takes one step of each trainer, in rotating order, so that noise
affects all of them equally. Ratios are computed within a round.
"""

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

import msgspec
import torch

from capsedge.errors import CapsedgeError, WrongUse
from capsedge.processes import module_command, module_environment
from capsedge.recipe import Recipe, to_values
from capsedge.training import Trainer

if TYPE_CHECKING:
    from capsedge.training.batches import Batch

WARM_UP = 2
MEMORY_STEPS = 4


class Quartiles(msgspec.Struct, frozen=True):
    """A median with its quartiles.

    Attributes:
        low: First quartile.
        median: Median.
        high: Third quartile.
    """

    low: float
    median: float
    high: float


class PeakMemory(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of one training in a separate process.

    Attributes:
        peak_bytes: Peak memory: on the CPU the resident memory of the whole process, including Python, torch and the
            images; on a CUDA device that of the tensors.
        before_bytes: The same before the first step.
    """

    peak_bytes: int
    before_bytes: int


class MemoryJob(msgspec.Struct, frozen=True, kw_only=True):
    """Input of `capsedge.reproduce.memory`.

    Attributes:
        recipe: A recipe as plain values.
        device: `auto`, `cpu` or `cuda`.
        steps: Number of steps.
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
    """Measure the time of steps, in rounds of one step of each trainer.

    Args:
        trainers: Trainers by label; their networks are trained, and no file is written.
        rounds: Timed rounds.
        warm_up: Warm-up rounds before those.
        progress: Called with the finished share of the rounds, 0 to 1.

    Returns:
        For each label, the seconds of its step in each round.
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
    """Full minibatches, without end; a smaller last one of an epoch is skipped, because its step takes less time.

    Raises:
        WrongUse: There are fewer images than in one batch.
    """
    check_batch_size(trainer.recipe, trainer.batches.images)
    for epoch in count():
        yield from (each for each in trainer.batches.epoch(epoch) if each.total == trainer.recipe.train.batch_size)


def check_batch_size(recipe: Recipe, images: int) -> None:
    """Refuse a batch that is larger than an epoch.

    Args:
        recipe: The recipe.
        images: Images in an epoch.

    Raises:
        WrongUse: There are fewer images than in one batch.
    """
    size = recipe.train.batch_size
    if images < size:
        raise WrongUse(
            f"expected at least train.batch_size = {size} training images, got {images}",
            "set a smaller train.batch_size",
        )


def quartiles(values: Sequence[float]) -> Quartiles:
    """Median and quartiles of two or more values; of a single value, all three are that value."""
    if len(values) == 1:
        return Quartiles(values[0], values[0], values[0])
    return Quartiles(*statistics.quantiles(values, n=4, method="inclusive"))


def ratios(seconds: Mapping[str, Sequence[float]], label: str, base: str) -> Quartiles:
    """Quartiles of a step's time relative to that of `base`, over the rounds."""
    return quartiles([own / other for own, other in zip(seconds[label], seconds[base], strict=True)])


def peak_memory(recipe: Recipe, *, device: str = "auto", steps: int = MEMORY_STEPS) -> PeakMemory | None:
    """Memory of a few steps of a recipe, in a new process, so that it includes no other training.

    Args:
        recipe: The recipe, including its data set.
        device: `auto`, `cpu` or `cuda`.
        steps: Number of steps.

    Returns:
        The memory, or None if the system does not report it.

    Raises:
        CapsedgeError: The process failed.
    """
    job = msgspec.json.encode(MemoryJob(recipe=to_values(recipe), device=device, steps=steps))
    worker, environment = module_command("capsedge.reproduce.memory"), module_environment()
    done = subprocess.run(worker, input=job, capture_output=True, check=False, env=environment)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").splitlines() or [f"exit code {done.returncode}"]
        raise CapsedgeError(f"the memory of recipe '{recipe.name}' could not be measured: {lines[-1]}")
    return msgspec.json.decode(done.stdout, type=PeakMemory | None)


def _step(trainer: Trainer, batches: "Iterator[Batch]") -> float:
    """Seconds of one step; the device is synchronized before and after."""
    device = trainer.devices.device
    _synchronize(device)
    start = time.perf_counter()
    trainer.iterate(next(batches))
    _synchronize(device)
    return time.perf_counter() - start


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
