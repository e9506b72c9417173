"""The place of this process in a training on several devices, by its environment; needs no torch.

Other launchers set RANK and LOCAL_RANK too, so these count only together with a variable of torchrun or of capsedge.
"""

import os

DEVICES_PORT = "CAPSEDGE_DEVICES_PORT"  # set in the processes that the first one starts: the port on which it listens


def torchrun_count() -> int | None:
    """Number of processes that torchrun started on this machine; None without torchrun."""
    count = os.environ.get("LOCAL_WORLD_SIZE") if "TORCHELASTIC_RUN_ID" in os.environ else None
    return int(count) if count else None


def own_rank() -> int:
    """Number of this process among all of its training."""
    return _number("RANK")


def own_local_rank() -> int:
    """Number of this process among those of its training on this machine."""
    return _number("LOCAL_RANK")


def _number(name: str) -> int:
    return int(os.environ[name]) if torchrun_count() or DEVICES_PORT in os.environ else 0
