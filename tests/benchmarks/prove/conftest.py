"""The command, run once on this machine for all tests of this folder, whichever of pytest's processes they are in."""

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

import capsedge
from benchmarks.prove.record import Proof, Record

ROOT = Path(capsedge.__file__).parents[1]
SCRIPT = ROOT / "scripts" / "prove_on_gpu.sh"


@dataclass(frozen=True)
class Run:
    """What the command left.

    Attributes:
        folder: Its OUT.
        said: What it printed.
        code: Its exit code.
    """

    folder: Path
    said: str
    code: int

    @property
    def proof(self) -> Proof:
        return msgspec.json.decode((self.folder / "proof.json").read_bytes(), type=Proof)

    @property
    def records(self) -> dict[str, Record]:
        return {f"{record.group}: {record.name}": record for record in self.proof.records}


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`scripts/prove_on_gpu.sh OUT --quick`, in a pipe, in this environment."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, said = shared / "proof", shared / "proof.txt"
    with (shared / "proof.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            done = subprocess.run(
                [SCRIPT, folder, "--quick"],
                capture_output=True,
                text=True,
                check=False,
                env=os.environ | {"PROVE_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
            )
            said.write_text(f"{done.returncode}\n{done.stdout}{done.stderr}", encoding="utf-8")
    code, _, text = said.read_text(encoding="utf-8").partition("\n")
    return Run(folder, text, int(code))
