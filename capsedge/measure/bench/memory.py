"""Peak memory of a model, measured in a process that runs nothing else.

In the process of a benchmark, several models and the allocator's free lists share one number. So a new process opens
the model and runs it. Linux keeps the largest resident memory of a process in /proc/self/status (`VmHWM`); the value
of `getrusage` is no substitute, because a new program inherits it from the process that started it.
"""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from capsedge.measure.bench.deployment import PeakMemory
from capsedge.measure.machine.kernel import ROOT, text
from capsedge.measure.machine.record import Unavailable
from capsedge.processes import module_command, module_environment
from capsedge.runtime.settings import Settings

_QUERIES = 20  # an allocator grows in the first few
_LONGEST_S = 600


class MemoryReading(NamedTuple):
    """The result of a measurement.

    Attributes:
        peak: The memory; None where it cannot be measured.
        reason: Why it cannot; "" where it can.
    """

    peak: PeakMemory | None
    reason: str = ""


class _Asked(msgspec.Struct):
    """What the new process runs: the file, with these settings, in queries of `batch` images."""

    file: str
    settings: Settings
    batch: int


def peak_memory(file: Path, settings: Settings, batch: int) -> MemoryReading:
    """Run a model in a new process: 20 queries, one after the other.

    Args:
        file: An ONNX file or an engine.
        settings: Settings to open it with.
        batch: Images in a query.
    """
    if peak_mb() is None:
        return MemoryReading(None, "only Linux shows the peak memory of a process")
    asked = msgspec.json.encode(_Asked(str(file), settings, batch))
    command, environment = module_command("capsedge.measure.bench.memory"), module_environment()
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, check=False, timeout=_LONGEST_S, env=environment
        )
    except subprocess.TimeoutExpired:
        return MemoryReading(None, f"the process took longer than {_LONGEST_S} s")
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return MemoryReading(None, f"the process ended with code {done.returncode}: {said}"[:300])
    answer = done.stdout.rstrip().rpartition(b"\n")[2]  # the libraries of the runtime may print lines before it
    try:
        return MemoryReading(msgspec.json.decode(answer, type=PeakMemory))
    except msgspec.DecodeError:
        said = answer.decode(errors="replace")
        return MemoryReading(None, f"expected the memory as the last line of the process, got {said!r}"[:300])


def peak_mb(root: Path = ROOT) -> float | None:
    """Largest resident memory of this process so far, in 10^6 bytes; None where the system does not show it."""
    for line in text(root / "proc/self/status").splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0]) * 1024 / 1e6
    return None


def _measure(asked: _Asked) -> PeakMemory:
    from capsedge.runtime.open import open_session

    runtime_mb: float | Unavailable | None = "unavailable"
    if not asked.file.endswith(".engine"):
        from capsedge.runtime.one_node import run_one_node

        run_one_node(asked.settings)
        runtime_mb = peak_mb()
    with open_session(asked.file, asked.settings) as session:
        feeds = session.feeds(asked.batch)
        for _ in range(_QUERIES):
            session.run_raw(feeds)
    peak = peak_mb()
    if runtime_mb is None or peak is None:
        raise OSError("the system no longer shows the memory of this process")
    return PeakMemory(runtime_mb=runtime_mb, peak_mb=peak)


if __name__ == "__main__":
    asked_for = msgspec.json.decode(sys.stdin.buffer.read(), type=_Asked)
    found = msgspec.json.encode(_measure(asked_for))
    sys.stdout.flush()
    sys.stdout.buffer.write(b"\n" + found + b"\n")
