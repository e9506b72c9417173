"""The command line in this process, where torch is loaded already."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from capsedge.cli import main

Said = subprocess.CompletedProcess[str]
Capsedge = Callable[..., Said]


def in_this_process(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """Something that runs a command as a shell would, and gives what it said."""

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["capsedge", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return subprocess.CompletedProcess(arguments, stop.value.code, said.out, said.err)

    return run
