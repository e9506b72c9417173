"""How many threads a run on the CPU should take: enough to share its work, few enough not to lose it to hand-offs."""

import math
import os
from pathlib import Path

# Work that one thread does in the time in which another one is handed its part: 20 us at 195 GFLOP/s.
HAND_OFF_FLOPS = 4_000_000
# A thread that sleeps must be woken first.
HAND_OFF_ASLEEP_FLOPS = 40_000_000

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def threads_for(flops: int, cores: int, *, spinning: bool = True) -> int:
    """Choose the number of threads for a run of so much work.

    With work W and a hand-off h for each further thread, n threads take W / n + h (n - 1). One more thread does not
    pay from the first n on with n (n + 1) >= W / h, which is sqrt(W / h), rounded.

    The hand-off was measured on two cores (AMD EPYC with AVX-512, ONNX Runtime 1.31.1): 28.8 MFLOP took 0.151 ms on
    one thread and 0.094 on two, 401.7 MFLOP 2.05 and 1.04. Beyond two threads this is a model, not a measurement.
    Without spinning, 28.8 MFLOP took 0.158 ms on two threads, so that one was better. Work in int8 is done faster,
    and hand-offs are not: this may be a thread too many there.

    Args:
        flops: Operations of one run: of one image, times the batch.
        cores: Cores that the process may use.
        spinning: Whether threads wait for their part awake.

    Returns:
        1 to `cores`.
    """
    ratio = flops / (HAND_OFF_FLOPS if spinning else HAND_OFF_ASLEEP_FLOPS)
    return max(1, min(math.ceil((math.sqrt(4 * ratio + 1) - 1) / 2), cores))


def usable_cores() -> int:
    """Count the cores that this process may use: those it is bound to, and no more than its container has time for.

    ONNX Runtime counts the machine's cores, also in a container that is held to a part of their time, where threads
    that spin use up the time of those that work.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(_OWN_CGROUPS, _CGROUPS)
    return bound if quota is None else max(1, min(bound, int(quota)))


def cgroup_quota(own: Path, root: Path) -> float | None:
    """Read how many cores' time Linux's control groups give to this process.

    Version 2 tells it as `cpu.max`, "quota period" in microseconds or "max period"; version 1 in two files, with a
    quota of -1 for none (docs.kernel.org/admin-guide/cgroup-v2.html, docs.kernel.org/scheduler/sched-bwc.html). A
    group has no more than those that it lies in.

    Args:
        own: The groups of this process, such as `/proc/self/cgroup`: a line `hierarchy:controllers:path` for each.
        root: Where the groups lie, such as `/sys/fs/cgroup`.

    Returns:
        The smallest quota in cores, or None where there is none.
    """
    try:
        lines = [line.split(":", 2) for line in own.read_text().splitlines()]
    except OSError:
        return None
    quotas = []
    for _, controllers, path in lines:
        if controllers in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            top = root / controllers
            folders = [top / path.lstrip("/"), *(top / path.lstrip("/")).parents]
            quotas += [_quota(folder) for folder in folders if folder.is_relative_to(top)]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota, period = ((group / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # no such file, or "max"
        return None
