"""The Makefile's environments, with a program in Python's place that installs nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")

# Makes an environment of which its Python is this program again, and fails as a setup that is interrupted.
PYTHON = """#!/bin/sh
case "$*" in
"-m venv "*) [ -z "$STOPPED" ] && mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && touch "$3/pyvenv.cfg" ;;
esac
"""


def make(folder: Path, target: str, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    python = folder / "python.sh"
    if not python.exists():
        python.write_text(PYTHON)
        python.chmod(0o755)
        for name in ("Makefile", "pyproject.toml", "constraints.txt", "tools.txt"):
            shutil.copy(ROOT / name, folder)
    command = ["make", target, f"PYTHON={python}", *words]
    # `make test` tells its makes of itself, which then report their folder and take its variables.
    outside = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        command, cwd=folder, env=outside | variables, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("target", "folder"),
    [
        ("setup", ".venv"),
        (".venv-tools/.installed", ".venv-tools"),
        (".venv-triton/.installed", ".venv-triton"),
        ("cluster", ".venv-ray"),
    ],
)
def test_make_leaves_an_environment_alone_that_it_did_not_make(target: str, folder: str, tmp_path: Path) -> None:
    theirs = tmp_path / folder / "bin" / "mine"
    theirs.parent.mkdir(parents=True)
    theirs.touch()
    done = make(tmp_path, target)
    assert done.returncode == 2
    assert [path.name for path in (tmp_path / folder).rglob("*")] == ["bin", "mine"]
    (line,) = [line for line in done.stderr.splitlines() if "make:" not in line.partition(" ")[0]]
    assert line.startswith(
        f"'{folder}' exists and make did not make it: remove it (make clean), or name another: make"
    )


def test_make_renews_its_own_environment_also_after_an_interrupted_setup(tmp_path: Path) -> None:
    assert make(tmp_path, "setup", STOPPED="1").returncode == 2
    (tmp_path / ".venv" / "half").touch()
    assert make(tmp_path, "setup").returncode == 0
    assert not (tmp_path / ".venv" / "half").exists()

    (tmp_path / ".venv" / ".made-by-make").unlink()  # of earlier days
    (tmp_path / ".venv" / "old").touch()
    os.utime(tmp_path / ".venv" / ".installed", (0, 0))  # the required versions are newer
    assert make(tmp_path, "setup").returncode == 0
    assert not (tmp_path / ".venv" / "old").exists()
    assert make(tmp_path, "setup").stdout.startswith("make: Nothing to be done")


def test_make_takes_another_folder_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    assert make(tmp_path, "setup").returncode == 0
    assert make(tmp_path, "setup", "VENV=.venv-make").returncode == 0
    assert (tmp_path / ".venv-make" / ".installed").exists()
