"""The devices of a training, one process each, and the communication between them by torch.distributed."""

import atexit
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from capsedge.cores import usable_cores
from capsedge.errors import Interrupted, ModelError, ProviderError, WrongUse
from capsedge.models import CapsNet
from capsedge.models.stem import BatchNorm
from capsedge.ranks import DEVICES_PORT, own_local_rank, own_rank, torchrun_count

_FIRST = "CAPSEDGE_DEVICES_FIRST"  # process id of the first one, which may have ended before this process checks
_LOCALHOST = "127.0.0.1"
_CLOSING_S = 0.2
_POLLING_S = 0.05
_started: "list[subprocess.Popen[bytes]]" = []
_neighbours: list[int] = []  # process ids of the others that torchrun started on this machine
_GRACE_S = 10.0  # for the other processes to end by themselves


class Devices:
    """The devices of one training, from the point of view of one process.

    Attributes:
        device: The device of this process.
        rank: Number of this process.
        count: Number of processes.
        here: Number of those on this machine.
    """

    def __init__(self, device: torch.device, rank: int = 0, count: int = 1, here: int | None = None) -> None:
        self.device = device
        self.rank = rank
        self.count = count
        self.here = count if here is None else here

    @property
    def first(self) -> bool:
        """Whether this process is rank 0, which writes files, prints and decides."""
        return self.rank == 0

    def told(self, text: str) -> str:
        """Broadcast the first device's text to all. All devices must call it."""
        if self.count == 1:
            return text
        content = torch.tensor(list(text.encode()), dtype=torch.uint8, device=self.device)
        size = torch.tensor([len(content)], device=self.device)
        distributed.broadcast(size, 0)
        if not self.first:
            content = torch.empty(int(size), dtype=torch.uint8, device=self.device)
        distributed.broadcast(content, 0)
        return bytes(content.tolist()).decode()

    def wait_for_all(self) -> None:
        """Wait until every device has called it."""
        if self.count > 1:
            distributed.barrier()

    def summed(self, tensor: Tensor) -> Tensor:
        """A tensor's sum over all devices, without a gradient. All devices must call it."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        distributed.all_reduce(total)
        return total

    def replicated(self, network: nn.Module) -> nn.Module:
        """The network on this device; each backward pass averages the gradients over all devices."""
        network.to(self.device)
        if self.count == 1:
            return network
        # Every rank updates its buffers (b and the running statistics) by the same sums, so none is broadcast.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about a name whose successor is in torch 2.13 only
            return DistributedDataParallel(
                network, device_ids=[self.device] if self.device.type == "cuda" else None, broadcast_buffers=False
            )

    def computing_in(self, precision: Literal["fp32", "bf16"]) -> AbstractContextManager[object]:
        """A context in which modules compute in a precision: bf16 by autocast."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def reporting_lost_process(again: str = "start it again with the same command") -> Iterator[None]:
    """Make one error of whatever fails because another process of the training has ended.

    Everything in which processes communicate is in such a context.

    Args:
        again: How to go on.

    Raises:
        ModelError: Another process has ended or does not answer; its code is `process-lost`.
    """
    try:
        yield
    except RuntimeError as error:  # gloo has no exception class for a process that has ended
        if _has_lost_one():
            raise ModelError("another process of the training has ended", again, code="process-lost") from error
        if isinstance(error, distributed.DistNetworkError | distributed.DistStoreError):
            raise ModelError("another process of the training does not answer", again, code="process-lost") from error
        raise


def _has_lost_one() -> bool:
    """Whether another process on this machine has ended or now ends.

    A process closes its connections some time before it has ended. If it never does, this takes `_GRACE_S`.
    """
    if not (_started or _neighbours or _FIRST in os.environ):
        return False
    end = time.monotonic() + _GRACE_S
    while time.monotonic() < end:
        if _is_orphan() or any(child.poll() is not None for child in _started) or not all(map(_runs, _neighbours)):
            return True
        time.sleep(_POLLING_S)
    return False


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def launch(device: str = "auto", *, devices: int | None = None) -> Devices:
    """Start the processes of a training, one for each device.

    One device uses this process. With more, this process becomes rank 0 and starts the others, which run the same
    command; under `torchrun` all of them run already.

    Args:
        device: `auto`, `cpu` or `cuda`.
        devices: Processes on this machine; None for the number of torchrun, or 1 without it.

    Raises:
        ModelError: Another process has ended before all were connected.
        ProviderError: There is no CUDA device, or fewer than `devices`.
        WrongUse: torchrun started another number of processes.
    """
    kind = _kind(device)
    started = torchrun_count()
    if started and devices not in (None, started):
        raise WrongUse(f"--devices {devices}, and torchrun started {started} processes here", "leave out --devices")
    here = started or devices or 1
    if kind == "cuda" and here > torch.cuda.device_count():
        raise ProviderError(f"--devices {here}, and this machine has {torch.cuda.device_count()} CUDA devices")
    count = int(os.environ["WORLD_SIZE"]) if started else here
    if count == 1:
        return Devices(torch.device(kind, 0) if kind == "cuda" else torch.device(kind))
    rank, local = own_rank(), own_local_rank()
    if kind == "cuda":
        torch.cuda.set_device(local)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, usable_cores() // here))
    # A warning about the first convolution: with one input channel, two memory layouts are equal.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    with reporting_lost_process():
        store = None if started else _store(rank, count)  # torchrun's is in the environment
        distributed.init_process_group("nccl" if kind == "cuda" else "gloo", store=store, rank=rank, world_size=count)
        atexit.register(_leave)
        found = Devices(torch.device(kind, local) if kind == "cuda" else torch.device(kind), rank, count, here)
        if started and os.name == "posix":  # elsewhere a process cannot be asked for without a signal to it
            own = torch.zeros(count, dtype=torch.int64, device=found.device)
            own[rank] = os.getpid()
            _neighbours.extend(found.summed(own)[rank - local :][:here].tolist())
    return found


def _store(rank: int, count: int) -> Any:
    """Where the processes find each other; the first one starts the others."""
    if rank:
        threading.Thread(target=_exit_after_first, daemon=True).start()
    port = int(os.environ.get(DEVICES_PORT, "0"))
    store = distributed.TCPStore(_LOCALHOST, port, count, is_master=rank == 0, wait_for_workers=False)  # type: ignore[attr-defined]
    if rank == 0:
        _start_others(count, store.port)
    return store


def _start_others(count: int, port: int) -> None:
    """Run this command once more for each of the other devices."""
    main = sys.modules["__main__"].__spec__
    command = [sys.executable, *(["-m", main.name] if main else [str(Path(sys.argv[0]).absolute())]), *sys.argv[1:]]
    for rank in range(1, count):
        numbers = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
        child = subprocess.Popen(
            command, env=os.environ | numbers | {DEVICES_PORT: str(port), _FIRST: str(os.getpid())}
        )
        _started.append(child)
        threading.Thread(target=_watch, args=(child, rank), daemon=True).start()
        atexit.register(_end, child)


def _watch(child: "subprocess.Popen[bytes]", rank: int) -> None:
    """End this process when another one fails: it could wait for it forever, in code that handles no signals."""
    code = child.wait()
    if code in (0, Interrupted.exit_code):  # also after Ctrl-C, when the first process still saves the state
        return
    time.sleep(_GRACE_S)  # if this process fails for the same reason, its own message says more
    sys.stderr.write(f"process {rank} of the training ended with exit code {code}, so the training ends\n")
    sys.stderr.flush()
    os._exit(1)


def _exit_after_first() -> None:
    """End this process after the first one has ended, even before they connect; the first one reports the reason."""
    while not _is_orphan():
        time.sleep(1)
    time.sleep(_GRACE_S)
    os._exit(1)


def _is_orphan() -> bool:
    """Whether the process that started this one has ended."""
    return _FIRST in os.environ and os.getppid() != int(os.environ[_FIRST])


def _end(child: "subprocess.Popen[bytes]") -> None:
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        child.kill()


def share_statistics(network: CapsNet) -> None:
    """Make a network's batch normalization compute its statistics over the batch of all devices."""
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.summed = summed_over_devices


def summed_over_devices(tensor: Tensor) -> Tensor:
    """A tensor's sum over all devices, with its gradient. All devices must call it, in the same order."""
    total: Tensor = _Sum.apply(tensor)  # type: ignore[no-untyped-call]
    return total


class _Sum(torch.autograd.Function):
    """The sum over all devices; each device uses it, so the gradient of a part is the sum of all their gradients.

    `torch.distributed.nn.functional.all_reduce` does the same. It is deprecated in torch 2.13, and its replacement is
    not public.
    """

    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return summed_over_devices(gradient)


def _leave() -> None:
    """Close the connection to the other processes before the interpreter ends: gloo's threads abort it otherwise."""
    if distributed.is_initialized():
        distributed.destroy_process_group()
        time.sleep(_CLOSING_S)  # releases the interpreter's lock, for which a thread of gloo may still wait


def _kind(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ProviderError(
            f"--device cuda: torch {torch.__version__} finds no CUDA device here",
            "use --device cpu, or install a CUDA build of torch and the NVIDIA driver",
        )
    return device
