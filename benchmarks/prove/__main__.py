"""`python -m benchmarks.prove [OUT] [--run RUN] [--quick]`: proves here what can run here, and lists the rest.

OUT gets proof.json and proof.md, and keeps everything that was trained, exported and built. The exit code is 0 where
no step failed, 1 where one did, 130 where it was interrupted; what is there by then is written in each case.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import msgspec
from rich.markup import escape

from benchmarks.prove.place import FULL, QUICK, Place, Plan
from benchmarks.prove.process import ROOT
from benchmarks.prove.record import Proof, Record
from benchmarks.prove.running import records_of
from benchmarks.prove.steps import Step, all_steps
from benchmarks.prove.table import markdown
from capsedge.cli.console import err, out
from capsedge.files import write_atomically
from capsedge.version import __version__

# They change what a GPU computes, or which it is.
ENVIRONMENT = ("CUDA_VISIBLE_DEVICES", "NVIDIA_TF32_OVERRIDE", "OMP_NUM_THREADS")
_COLOURS = {"passed": "green", "failed": "red", "not possible here": "yellow"}


def main(arguments: Sequence[str] | None = None, steps: Callable[[Plan], list[Step]] = all_steps) -> int:
    """Prove what can be proved here.

    Args:
        arguments: Of the command line; None for the process's own.
        steps: Makes the list of steps.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = _options(words)
    folder = _new_folder(options.out)
    plan = QUICK if options.quick else FULL
    place = Place(folder, plan, given=None if options.run is None else options.run.resolve())
    commit = _commit()
    started, planned = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", steps(plan)
    records: list[Record] = []
    behind, interrupted = 0, False

    def proof() -> Proof:
        return Proof(
            capsedge=__version__,
            commit=commit,
            started=started,
            command=tuple(words),
            gpu=place.gpu,
            environment={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
            records=tuple(records),
            unreached=tuple(f"{step.group}: {step.name}" for step in planned[behind:]),
        )

    try:
        for behind, record in records_of(planned, place, _announce):
            records.append(record)
            _show(record, behind, len(planned))
            _write(proof(), folder)
        behind = len(planned)
    except KeyboardInterrupt:
        interrupted = True
    done = proof()
    _write(done, folder)
    _conclude(done, folder)
    return 130 if interrupted else 1 if done.having("failed") else 0


def _options(words: Sequence[str]) -> argparse.Namespace:
    """What was asked for; what cannot be is told before anything is done, with exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prove", description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, help="the folder to fill [default: runs/proof]")
    parser.add_argument("--run", type=Path, help="a finished run to export; without it a network is trained")
    parser.add_argument("--quick", action="store_true", help="a tiny network: proves that the command works")
    options = parser.parse_args(words)
    if options.run is not None and not (options.run / "run.json").is_file():
        parser.error(f"--run wants the folder of a run, which capsedge train made, and '{options.run}' is none")
    folder = options.out
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        parser.error(
            f"OUT must be a new or an empty folder, and '{folder}' is not: another proof's files may be there"
        )
    return options


def _new_folder(wanted: Path | None) -> Path:
    """The folder that was asked for, or one that nobody has."""
    numbered = (Path("runs", "proof" if number == 1 else f"proof-{number}") for number in count(1))
    folder = wanted or next(path for path in numbered if not path.exists())
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _announce(step: Step) -> AbstractContextManager[object]:
    """Say on a terminal what is going on; nothing in a pipe."""
    return err.status(escape(f"{step.group}: {step.name}"))


def _show(record: Record, number: int, total: int) -> None:
    """A line for each record."""
    head = f"[{number}/{total}] {record.group}: {record.name}: "
    out.print(head, end="", markup=False, soft_wrap=True)
    out.print(record.status, style=_COLOURS[record.status], end="")
    out.print(f" ({record.seconds:.1f} s) {record.detail}", markup=False, soft_wrap=True)


def _conclude(proof: Proof, folder: Path) -> None:
    """The last lines: what was not executed, and how many records ended how."""
    missing = proof.having("not possible here")
    if missing:
        out.print(f"\nnot executed on this machine, {len(missing)} of {len(proof.records)}:")
    for record in missing:
        out.print(f"  {record.path}: {record.group}: {record.name}", markup=False, soft_wrap=True)
    if proof.unreached:
        out.print(f"interrupted: {len(proof.unreached)} steps were not reached")
    out.print(f"\nwrote {folder / 'proof.json'} and {folder / 'proof.md'}", markup=False, soft_wrap=True)
    passed, failed = len(proof.having("passed")), len(proof.having("failed"))
    out.print(f"{passed} passed, {failed} failed, {len(missing)} not possible here")


def _write(proof: Proof, folder: Path) -> None:
    """Write both files anew; paths of this machine are no one else's business."""
    text = msgspec.json.format(msgspec.json.encode(proof)).decode()
    private = {f"{folder}/": "", str(folder): "OUT", str(ROOT): ".", str(Path.home()): "~"}
    for name, content in (("proof.json", text), ("proof.md", markdown(proof))):
        shown = content
        for path, stands_for in private.items():
            shown = shown.replace(path, stands_for)
        write_atomically(folder / name, shown)


def _commit() -> str:
    """The git commit of this tree; "" outside of a checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""
    words = [git, "-C", str(ROOT), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
