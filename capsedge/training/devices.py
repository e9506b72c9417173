"""On how many devices a training runs, and how they share a batch: lightning-fabric, set up for Algorithm 1."""

import atexit
import logging
import os
import time
import warnings
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision
from lightning_fabric.plugins.precision import Precision as FullPrecision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor

from capsedge.errors import ProviderError, WrongUse
from capsedge.models import CapsNet
from capsedge.models.stem import BatchNorm

_LAST_WORDS = 0.2  # seconds


def launch(device: str = "auto", *, devices: int | None = None) -> Fabric:
    """Start the processes of a training, one a device, and give each its Fabric.

    With one device that is this process. With more, this process becomes rank 0 and starts the others, which run the
    same command; under `torchrun` all of them run already. The Fabric computes in fp32 until `compute_in` is called.

    Args:
        device: `auto`, `cpu` or `cuda`.
        devices: Processes on this machine; None for what torchrun says, else 1.

    Raises:
        ProviderError: CUDA was asked for and is not there, or not so many times.
        WrongUse: torchrun started another number of processes.
    """
    accelerator = _accelerator(device)
    started = os.environ.get("LOCAL_WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in os.environ else None
    if started and devices not in (None, int(started)):
        raise WrongUse(f"--devices {devices}, and torchrun started {started} processes here: leave out --devices")
    here = int(started) if started else devices or 1
    nodes = int(os.environ["WORLD_SIZE"]) // here if started else 1
    if accelerator == "cuda" and here > torch.cuda.device_count():
        raise ProviderError(f"--devices {here}, and this machine has {torch.cuda.device_count()} CUDA devices")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces the precision, as we do
    # Of the first convolution, whose one input channel can be laid out in two equal ways.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    warnings.filterwarnings(
        "ignore", message="`broadcast_buffers` is deprecated"
    )  # its successor is in torch 2.13 only
    fabric = Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=nodes,
        # Every rank moves its buffers, b and the statistics of normalization, by the same sums: nothing to broadcast.
        strategy=DDPStrategy(broadcast_buffers=False) if here * nodes > 1 else "auto",
    )
    fabric.launch()
    if fabric.world_size > 1:
        atexit.register(_leave)
    return fabric


def compute_in(fabric: Fabric, precision: Literal["fp32", "bf16"]) -> None:
    """Let the modules of a Fabric compute in a precision: bf16 by autocast.

    It is no argument of `launch`, since all processes must have one precision, and they can agree only once they run.
    """
    bf16 = MixedPrecision("bf16-mixed", fabric.device.type)
    fabric.strategy.precision = bf16 if precision == "bf16" else FullPrecision()


def share_statistics(network: CapsNet) -> None:
    """Let a network's batch normalization take its statistics over the batch of all devices."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.summed = summed_over_devices


def summed_over_devices(tensor: Tensor) -> Tensor:
    """A tensor's sum over all devices, with its gradient. All of them must call it, in the same order."""
    total: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """Each device's part adds to the sum that all of them see, so its gradient is the sum of their gradients.

    `torch.distributed.nn.functional.all_reduce` is the same, and deprecated in torch 2.13; what it names instead is
    not public.
    """

    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return summed_over_devices(gradient)


def _leave() -> None:
    """End the connection to the other processes before the interpreter does: gloo's threads abort it otherwise."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
        time.sleep(_LAST_WORDS)  # a thread of gloo may still want the interpreter's lock; asleep, this one gives it


def _accelerator(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ProviderError(
            f"--device cuda: torch {torch.__version__} finds no CUDA device here; "
            "use --device cpu, or install a CUDA build of torch and the NVIDIA driver"
        )
    return device
