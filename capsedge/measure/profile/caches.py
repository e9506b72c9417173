"""The processor's caches as Linux tells them: how large each of a level is, and how many of them there are."""

import os
from pathlib import Path
from typing import NamedTuple

_CPUS = Path("/sys/devices/system/cpu")


class Caches(NamedTuple):
    """The caches of one level.

    Attributes:
        size_bytes: Of each, or of the smallest; 0 where there is none, or the system does not tell.
        number: How many the cores have that this process is bound to.
    """

    size_bytes: int = 0
    number: int = 0

    def used_by(self, threads: int) -> int:
        """How many of them so many threads use, which are spread over the caches."""
        return min(self.number, threads)


def caches(level: int, root: Path = _CPUS) -> Caches:
    """Count the caches of a level: cores that share one name the same `shared_cpu_list`.

    See ABI/testing/sysfs-devices-system-cpu in the documentation of Linux. A cache that names no cores is taken for
    one of its own.
    """
    bound = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    sizes: dict[str, int] = {}
    for core in sorted(bound):
        for folder in (root / f"cpu{core}" / "cache").glob("index*"):
            try:
                if int((folder / "level").read_text()) == level:
                    sizes[_shared(folder) or str(core)] = _bytes((folder / "size").read_text().strip())
            except (OSError, ValueError):
                continue
    return Caches(min(sizes.values()), len(sizes)) if sizes else Caches()


def _shared(folder: Path) -> str:
    try:
        return (folder / "shared_cpu_list").read_text().strip()
    except OSError:
        return ""


def _bytes(size: str) -> int:
    """Linux's `1024K` as a number."""
    return int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1:], 0)
