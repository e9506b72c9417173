"""Measures the memory of one training in a separate process.

`python -m capsedge.reproduce.memory < JOB > RESULT`
"""

import sys
from itertools import islice
from pathlib import Path

import msgspec
import torch

from capsedge.recipe import from_values
from capsedge.reproduce.steps import MemoryJob, PeakMemory, whole_batches
from capsedge.reproduce.trainings import load_images
from capsedge.training import Run, Trainer


def peak_bytes(device: torch.device) -> int | None:
    """The peak memory of this process so far, in bytes; None if the system does not report it.

    On Linux it is VmHWM, not getrusage's ru_maxrss, which starts at the memory of the parent process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.is_file():
        return _ru_maxrss()
    (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Read the job, take its steps, print the result."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=MemoryJob)
    recipe = from_values(job.recipe, source="the job")
    trainer = Trainer(recipe, load_images(recipe), Run(Path("unused")), device=job.device)  # start() would write it
    before = peak_bytes(trainer.devices.device)
    for batch in islice(whole_batches(trainer), job.steps):
        trainer.iterate(batch)
    peak = peak_bytes(trainer.devices.device)
    result = None if before is None or peak is None else PeakMemory(peak_bytes=peak, before_bytes=before)
    sys.stdout.buffer.write(msgspec.json.encode(result))


def _ru_maxrss() -> int | None:
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
