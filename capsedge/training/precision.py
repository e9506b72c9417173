"""The precision of a training's convolutions: what `auto` means on a device, and the cost of bf16 there."""

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor

from capsedge.models import CapsNet
from capsedge.processor import this_processor
from capsedge.recipe import TrainingPrecision

TIME_LIMIT_S = 1.0
"""Time limit of the measurement; bf16 gets half of it."""

GROWTH = 4
"""Factor on the number of images from one pass in bf16 to the next."""

FEWEST = 8
"""Fewest images of a pass where weights are converted for every batch, so that the conversion is not most of it."""

Bf16Units = Literal["used", "absent", "unused", "unknown"]


class PrecisionChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The precision of a training, and the reason for it.

    Attributes:
        precision: Precision of the training.
        asked: `train.precision` of the recipe.
        device: `cpu` or `cuda`.
        units: The device's units for bf16: torch uses them (`used`); there are none (`absent`); torch does not use
            them (`unused`); or the processor's instruction sets are `unknown`.
        instructions: The processor's instruction set for bf16 (`capsedge.processor`); "" for none, and for a GPU.
    """

    precision: Literal["fp32", "bf16"]
    asked: TrainingPrecision
    device: str
    units: Bf16Units
    instructions: str = ""


class Bf16Cost(msgspec.Struct, frozen=True, kw_only=True):
    """The measured cost of bf16 on a device.

    Attributes:
        times_fp32: Time of a weight step in bf16, as a multiple of its time in fp32.
        images: Number of images of the measurement in bf16.
    """

    times_fp32: float
    images: int


def choose_precision(asked: TrainingPrecision, device: torch.device) -> PrecisionChoice:
    """The precision of a training on a device: `auto` is bf16 where the device has the units for it.

    Args:
        asked: `train.precision` of the recipe.
        device: Device of the training.
    """
    units, instructions = _on_cuda(device) if device.type == "cuda" else _on_cpu()
    chosen = asked if asked != "auto" else "bf16" if units == "used" else "fp32"
    return PrecisionChoice(precision=chosen, asked=asked, device=device.type, units=units, instructions=instructions)


def cost_of_bf16(network: CapsNet, images: Float[Tensor, "batch channels height width"]) -> Bf16Cost:
    """Measure the forward and backward passes of a network in both precisions, in about a second.

    The network, its gradients and torch's random numbers stay as they are. On a CPU it measures processor time, which
    is independent of other processes and of the number of threads that a batch keeps busy.

    Args:
        network: The network, on the device.
        images: A minibatch of the training, on the device; the time depends on its memory layout.
    """
    weights = list(network.parameters())
    device = images.device
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def seconds_an_image(count: int, *, narrow: bool) -> float:
        start = clock()
        with torch.autocast(device.type, torch.bfloat16, enabled=narrow):
            lengths = network(images[:count]).lengths
        torch.autograd.grad(lengths.sum(), weights, allow_unused=True)  # the decoder's
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return (clock() - start) / count

    # oneDNN and cuDNN prepare something in the first pass, and something for every batch. torch's own bf16 does
    # neither, and takes a quarter of a second per image at Table I's width.
    slow = device.type == "cpu" and not _onednn_takes_bf16()
    if not slow:
        seconds_an_image(1, narrow=True)
    first = 1 if slow else min(FEWEST, len(images))
    count, narrow = _within(TIME_LIMIT_S / 2, partial(seconds_an_image, narrow=True), first=first, most=len(images))
    seconds_an_image(1, narrow=False)
    full = seconds_an_image(min(max(count, FEWEST), len(images)), narrow=False)
    return Bf16Cost(times_fp32=narrow / full, images=count)


def _within(limit_s: float, measure: Callable[[int], float], *, first: int, most: int) -> tuple[int, float]:
    """Measure with a growing number of images within the limit; returns the last number and its measurement."""
    count, left = first, limit_s
    while True:
        start = time.perf_counter()
        found = measure(count)
        spent = time.perf_counter() - start
        left -= spent
        if GROWTH * count > most or GROWTH * spent > left:
            return count, found
        count *= GROWTH


def _on_cuda(device: torch.device) -> tuple[Bf16Units, str]:
    with torch.cuda.device(device):
        return "used" if torch.cuda.is_bf16_supported(including_emulation=False) else "absent", ""


def _on_cpu() -> tuple[Bf16Units, str]:
    processor = this_processor()
    if processor is None:
        return "unknown", ""
    if not processor.bf16:
        return "absent", ""
    return "used" if _onednn_takes_bf16() else "unused", processor.bf16


def _onednn_takes_bf16() -> bool:
    """Whether torch computes bf16 convolutions with oneDNN, which uses the units; torch's own code does not.

    ONEDNN_MAX_CPU_ISA below AVX512_CORE prevents it, and so does a build of torch without oneDNN. It cannot be
    detected that ONEDNN_MAX_CPU_ISA is AVX512_CORE itself: oneDNN then computes in bf16 without the units.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch leaves its types out
        return False
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a private name, which a release may drop: then the units alone decide
        return True
