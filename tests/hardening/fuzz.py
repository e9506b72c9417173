"""Give every reader many damaged files, each within bounds of time and memory: `make fuzz`.

Each reader runs in a process of its own, so that a crash is a finding too. The child writes an input to a file before
it reads it; what a process leaves there when it dies is the input that it died of.
"""

import argparse
import importlib.util
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from types import FrameType

from tests.hardening.mutations import mutated
from tests.hardening.readers import READERS, Reader, accepts

CORPUS = Path(__file__).parent / "corpus"
CURRENT, _TALLY = "input", "tally.json"
COMMAND = [sys.executable, "-m", "tests.hardening.fuzz"]
_MOST_FINDINGS = 20  # of a reader, after which its process goes no further


class TooSlow(BaseException):
    """An input takes longer than its reader may; no `except Exception` of a reader hides it."""


@dataclass
class Tally:
    """What one reader did.

    Attributes:
        reader: Its name.
        engine: What made the inputs: `mutations`, or `coverage` (atheris).
        inputs: Inputs read.
        accepted: Inputs that were read as whole.
        refused: Inputs that were refused by a `CapsedgeError`.
        slowest_ms: Longest time of the processor for one input.
        peak_mib: Peak memory of the process, beyond what it had before the first input.
        findings: What happened, by the file that holds the first input that did it; by another place in the code is
            another finding.
    """

    reader: str
    engine: str
    inputs: int = 0
    accepted: int = 0
    refused: int = 0
    slowest_ms: float = 0.0
    peak_mib: float = 0.0
    findings: dict[str, str] = field(default_factory=dict)

    def found(self, said: str, content: bytes, folder: Path) -> None:
        """Keep an input that broke a promise, unless one did so at the same place."""
        place = said.rpartition(" (")[2]
        if place not in {known.rpartition(" (")[2] for known in self.findings.values()}:
            self.findings[_keep(folder, content)] = said


def try_input(reader: Reader, content: bytes, folder: Path, tally: Tally) -> str:
    """Read one input within its time.

    Returns:
        What broke a promise, as one line; "" for nothing.
    """
    start = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, reader.seconds)
    try:
        if accepts(reader, content, folder):
            tally.accepted += 1
        else:
            tally.refused += 1
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = " ".join(str(error).split())[:160]
        return f"{type(error).__name__}: {said} ({Path(where.filename).name}:{where.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        tally.inputs += 1
        tally.slowest_ms = max(tally.slowest_ms, (time.process_time() - start) * 1000)
    return ""


def stop_slow_inputs() -> None:
    """Let the timer of `try_input` end an input; for the main thread of a process."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise TooSlow

    signal.signal(signal.SIGPROF, stop)


def _seeds(reader: Reader) -> list[bytes]:
    """Whole files, and inputs that once broke a promise."""
    return [*reader.seeds(), *(file.read_bytes() for file in sorted((CORPUS / reader.name).glob("*")))]


def _child(reader: Reader, inputs: range, seed: int, findings: Path) -> None:
    """Try a range of inputs, and print the tally as JSON."""
    stop_slow_inputs()
    tally = Tally(reader.name, "mutations")
    seeds = _seeds(reader)
    with tempfile.TemporaryDirectory(prefix="capsedge-fuzz-", dir=_memory_folder()) as scratch:
        folder = Path(scratch)
        for content in seeds:
            accepts(reader, content, folder)
        before = _peak_mib()
        _limit_memory(reader.memory_mib)
        current = findings / CURRENT
        for index in inputs:
            content = mutated(seeds, random.Random(f"{seed} {index}"))
            current.write_bytes(content)
            if said := try_input(reader, content, folder, tally):
                tally.found(said, content, findings)
                if len(tally.findings) == _MOST_FINDINGS:
                    break
        current.unlink(missing_ok=True)
    tally.peak_mib = round(_peak_mib() - before, 1)
    print(json.dumps(asdict(tally)))


def _child_by_coverage(reader: Reader, inputs: int, seed: int, findings: Path) -> None:
    """Let atheris look for inputs that reach new lines of capsedge; it ends the process itself."""
    import atheris

    known = findings / "corpus"
    known.mkdir(exist_ok=True)
    stop_slow_inputs()
    tally = Tally(reader.name, "coverage")
    folder = Path(tempfile.mkdtemp(prefix="capsedge-fuzz-", dir=_memory_folder()))
    with atheris.instrument_imports(include=["capsedge"], enable_loader_override=False):
        for content in _seeds(reader):
            (known / sha256(content).hexdigest()[:16]).write_bytes(content)
            accepts(reader, content, folder)
    before = _peak_mib()

    def one(content: bytes) -> None:
        if said := try_input(reader, content, folder, tally):
            tally.found(said, content, findings)
        if said or tally.inputs % 1000 == 0 or tally.inputs == inputs:
            tally.peak_mib = round(_peak_mib() - before, 1)
            (findings / _TALLY).write_text(json.dumps(asdict(tally)))

    options = [f"-runs={inputs}", f"-seed={seed + 1}", "-rss_limit_mb=0", "-max_len=300000", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={findings}/", str(known)], one)
    atheris.Fuzz()


def _keep(findings: Path, content: bytes) -> str:
    name = sha256(content).hexdigest()[:16]
    (findings / name).write_bytes(content)
    return name


def _memory_folder() -> str | None:
    """A folder in memory where there is one: a disk would be most of the time."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def _peak_mib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def _limit_memory(mib: int) -> None:
    """Let an allocation beyond the bound fail, which is a finding; only Linux says what a process has."""
    status = Path("/proc/self/statm")
    if status.exists():
        have = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (have + (mib << 20), resource.RLIM_INFINITY))


def fuzz(reader: Reader, inputs: int, seed: int, engine: str, folder: Path) -> Tally:
    """Try a reader with many inputs in processes of its own; one that dies is replaced by another that goes on."""
    findings = folder / f"{reader.name}-{engine}"
    findings.mkdir(parents=True, exist_ok=True)
    for left in (CURRENT, _TALLY):
        (findings / left).unlink(missing_ok=True)  # of an earlier run
    tally, first = Tally(reader.name, engine), 0
    while first < inputs and len(tally.findings) < _MOST_FINDINGS:
        command = [*COMMAND, reader.name, "--child", str(findings)]
        command += ["--engine", engine, "--seed", str(seed + first), "--inputs", str(inputs - first)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        written = findings / _TALLY
        text = (
            run.stdout.strip().splitlines()[-1:]
            if engine == "mutations"
            else [written.read_text()]
            if written.exists()
            else []
        )
        part = Tally(**json.loads(text[0])) if run.returncode == 0 and text else None
        if part is not None:
            tally.accepted += part.accepted
            tally.refused += part.refused
            tally.inputs += part.inputs
            tally.slowest_ms = max(tally.slowest_ms, part.slowest_ms)
            tally.peak_mib = max(tally.peak_mib, part.peak_mib)
            tally.findings |= part.findings
            break
        died = findings / CURRENT
        said = f"the process ended with {run.returncode}: {' '.join(run.stderr.split())[-160:]}"
        tally.findings[_keep(findings, died.read_bytes()) if died.exists() else f"process-{first}"] = said
        first += max(1, inputs // _MOST_FINDINGS)
    return tally


def main() -> int:
    """Print a line for each reader.

    Returns:
        1 where a promise was broken, else 0.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.hardening.fuzz", description=__doc__)
    parser.add_argument("readers", nargs="*", metavar="READER", help=f"all of them where none is given: {_NAMES}")
    parser.add_argument("--inputs", type=int, default=100_000, help="inputs of each reader (default: 100000)")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other inputs (default: 0)")
    parser.add_argument(
        "--engine",
        choices=["mutations", "coverage"],
        default="mutations",
        help="coverage follows new lines of capsedge, and needs atheris (default: mutations)",
    )
    parser.add_argument("--output", type=Path, default=Path("fuzz"), help="folder of the findings (default: fuzz/)")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := {*given.readers} - {reader.name for reader in READERS}:
        parser.error(f"expected readers of {_NAMES}, got {', '.join(sorted(unknown))}")
    if given.engine == "coverage" and importlib.util.find_spec("atheris") is None:
        parser.error("--engine coverage needs atheris: pip install atheris (Linux and macOS), or leave --engine out")
    chosen = [reader for reader in READERS if not given.readers or reader.name in given.readers]
    if given.child:
        if given.engine == "coverage":
            _child_by_coverage(chosen[0], given.inputs, given.seed, given.child)
        else:
            _child(chosen[0], range(given.inputs), given.seed, given.child)
        return 0
    broken = 0
    print(
        "| reader | inputs | accepted | refused | slowest | memory | findings |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    for reader in chosen:
        tally = fuzz(reader, given.inputs, given.seed, given.engine, given.output)
        broken += len(tally.findings)
        print(
            f"| {tally.reader} | {tally.inputs:,} | {tally.accepted:,} | {tally.refused:,} "
            f"| {tally.slowest_ms:.0f} ms | {tally.peak_mib:.0f} MiB | {len(tally.findings)} |",
            flush=True,
        )
        for name, said in tally.findings.items():
            print(f"  {given.output}/{reader.name}-{given.engine}/{name}: {said}", flush=True)
    return 1 if broken else 0


_NAMES = ", ".join(reader.name for reader in READERS)

if __name__ == "__main__":
    sys.exit(main())
