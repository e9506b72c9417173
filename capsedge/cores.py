"""The number of cores that this process may use: one count for everything that runs in threads."""

import os
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Count the logical cores that this process is bound to, limited by the CPU quota of its container.

    ONNX Runtime counts the machine's cores, even in a container with a CPU quota, where spinning threads use up the
    time of the working ones.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(_OWN_CGROUPS, _CGROUPS)
    return bound if quota is None else max(1, min(bound, int(quota)))


def cgroup_quota(own: Path, root: Path) -> float | None:
    """Read the CPU quota that Linux's control groups set for this process, in cores.

    Version 2 has it in `cpu.max`, "quota period" in microseconds or "max period"; version 1 in two files, with a
    quota of -1 for none (docs.kernel.org/admin-guide/cgroup-v2.html, docs.kernel.org/scheduler/sched-bwc.html). The
    quotas of all parent groups apply to a group too.

    Args:
        own: The groups of this process, such as `/proc/self/cgroup`: a line `hierarchy:controllers:path` for each.
        root: Folder of the groups, such as `/sys/fs/cgroup`.

    Returns:
        The smallest quota in cores, or None where no quota is set.
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
