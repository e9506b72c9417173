"""The edge commands as a person runs them: a process of its own, with a small model in the built-in one's place."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import capsedge
from tests.in_process import Said

__all__ = ["as_a_user", "edge", "in_a_shell", "one_line"]

ROOT = Path(capsedge.__file__).parents[1]

Edge = Callable[..., subprocess.CompletedProcess[str]]

# The installed command, also where capsedge is not installed.
COMMAND = "import sys; sys.argv[0] = 'capsedge'; from capsedge.cli import main; main()"

# `capsedge`, with another folder of built-in models; the last line of stderr lists the modules that were loaded.
SCRIPT = """
import pathlib, sys
builtin = pathlib.Path(sys.argv.pop(1))
from capsedge.cli import main
sys.argv[0] = "capsedge"
import capsedge.runtime.models
capsedge.runtime.models.BUILTIN = builtin
try:
    main()
finally:
    sys.stdout.flush()
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def in_a_shell(*arguments: str, before: Sequence[str] = (), **environment: str) -> Said:
    """Run `capsedge` in a process of its own, with these variables, by a command that runs another."""
    return subprocess.run(
        [*before, sys.executable, "-c", COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COLUMNS": "120", "CAPSEDGE_DEBUG": "", "PYTHONPATH": str(ROOT)} | environment,
    )


def as_a_user() -> list[str]:
    """A command that runs another one so that permissions bind it: they do not bind root."""
    if os.name != "posix":
        pytest.skip("permissions of files are those of POSIX here")
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("root reads every file, and setpriv (util-linux), which takes that away, is not installed")
    without = "-dac_override,-dac_read_search"
    return ["setpriv", f"--bounding-set={without}", f"--inh-caps={without}"]


def one_line(result: Said, code: int) -> str:
    """The only line on stderr of a command that failed with an exit code."""
    assert result.returncode == code, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("capsedge: ")
    return line


@pytest.fixture(autouse=True)
def idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process no other program keeps the machine busy, which commands would note."""
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)


@pytest.fixture(scope="session")
def edge(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Edge:
    """Run `capsedge`: gives stdout, stderr, the exit code, and the packages that were loaded as `args`."""
    builtin = tmp_path_factory.mktemp("builtin")
    shutil.copy(good, builtin / "fashion-mnist.onnx")

    def run(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(builtin), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=builtin.parent,
            env=os.environ | {"COLUMNS": "200", "CAPSEDGE_DEBUG": "", "PYTHONPATH": str(ROOT)},
        )
        said, _, loaded = done.stderr.decode().rstrip("\n").rpartition("\n")
        return subprocess.CompletedProcess(loaded.split(), done.returncode, done.stdout.decode(), said)

    return run
