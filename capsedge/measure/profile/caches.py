"""Size and number of the processor's caches of each level, from Linux's sysfs."""

import os
from pathlib import Path
from typing import NamedTuple

_CPUS = Path("/sys/devices/system/cpu")


class Caches(NamedTuple):
    """The caches of one level.

    Attributes:
        size_bytes: Size of each, or of the smallest; 0 where there is none, or it is not known.
        number: Number of caches of the cores that this process is bound to.
    """

    size_bytes: int = 0
    number: int = 0

    def used_by(self, threads: int) -> int:
        """Number of caches that a number of threads uses when they are spread over the caches."""
        return min(self.number, threads)


def caches(level: int, root: Path = _CPUS) -> Caches:
    """Count the caches of a level: cores that share a cache have the same `shared_cpu_list`.

    See ABI/testing/sysfs-devices-system-cpu in the documentation of Linux. A cache without this file counts as
    private to its core.
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
    """A size such as `1024K` in bytes."""
    return int(size.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(size[-1:], 0)
