"""Runs what may crash in a process of its own, with a time limit: the command `capsedge`, and the jobs."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from benchmarks.prove.record import Failed, NotPossible

ROOT = Path(__file__).parents[2]

NOT_POSSIBLE = 3
"""The exit code of a job that this machine cannot do."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Said:
    """How a process ended.

    Attributes:
        code: Its exit code; of a process that a signal ended, the signal's number below zero.
        out: What it printed.
        reason: The last line of its errors, or the signal that ended it.
    """

    code: int
    out: bytes
    reason: str

    def answer(self, kind: type[Answer]) -> Answer:
        """The JSON that it printed.

        Raises:
            Failed: It failed, or printed something else.
            NotPossible: A job says that this machine cannot do it.
        """
        if self.code == NOT_POSSIBLE:
            raise NotPossible(self.reason)
        if self.code:
            raise Failed(self.reason)
        return self.printed(kind)

    def printed(self, kind: type[Answer]) -> Answer:
        """The JSON that it printed, also where it failed in the end, as a gate that rejects does.

        Raises:
            Failed: It printed something else.
        """
        try:
            return msgspec.json.decode(self.out, type=kind)
        except msgspec.MsgspecError as error:
            raise Failed(self.reason or f"it printed something else than was expected: {error}") from error


def capsedge(*words: str, folder: Path, limit_s: float) -> Said:
    """Run `capsedge WORDS`.

    Args:
        words: The command and its arguments.
        folder: Where.
        limit_s: After so many seconds it is ended.

    Raises:
        Failed: It took longer.
    """
    return run([sys.executable, "-m", "capsedge", *words], folder=folder, limit_s=limit_s)


def job(name: str, question: Any, *, folder: Path, limit_s: float) -> Said:
    """Run a module of `benchmarks.prove.jobs` (see `capsedge`)."""
    words = [sys.executable, "-m", "benchmarks.prove.jobs", name]
    return run(words, msgspec.json.encode(question), folder=folder, limit_s=limit_s)


def run(words: Sequence[str], question: bytes = b"", *, folder: Path, limit_s: float) -> Said:
    """Run any program; whatever ends this function ends it too, and all that it started in its session."""
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    with subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(question, timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            _kill(process)
            raise Failed(f"it was ended after {limit_s:.0f} s, its limit") from error
        except BaseException:
            _kill(process)
            raise
    return Said(process.returncode, out, _reason(process.returncode, err.decode(errors="replace")))


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):  # it may have ended by itself just now
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(code: int, errors: str) -> str:
    if code < 0:
        return f"the process was ended by signal {-code} ({signal.strsignal(-code)})"
    lines = errors.strip().splitlines()
    if not lines:
        return f"it ended with exit code {code} and said nothing"
    with suppress(msgspec.MsgspecError):  # of a command that was asked for JSON
        told: dict[str, str] = msgspec.json.decode(lines[-1], type=dict[str, dict[str, str]])["error"]
        return ": ".join(filter(None, (told["text"], told["advice"])))
    return lines[-1].removeprefix("capsedge: ")
