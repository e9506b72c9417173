"""Runs commands and functions in separate processes, so that a crash in a driver fails only one test.

A time limit is pytest's (`--timeout`): whatever ends a test early ends its process too, and all that this started.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
import pytest

from capsedge.errors import CapsedgeError

ROOT = Path(__file__).parents[2]

P = ParamSpec("P")
T = TypeVar("T")


def capsedge(*words: str | Path, kind: type[T], codes: Collection[int] = (0,)) -> T:
    """Run `capsedge WORDS --json`; a failed command fails the test with the command's own line.

    Args:
        words: The command and its arguments.
        kind: What its JSON is decoded to.
        codes: Exit codes with which it prints its JSON; 1 is one of them where it reports what failed.
    """
    __tracebackhide__ = True
    done = run([sys.executable, "-m", "capsedge", *map(str, words), "--json"])
    if done.returncode not in codes:
        pytest.fail(last_line(done), pytrace=False)
    try:
        return msgspec.json.decode(done.stdout, type=kind)
    except msgspec.MsgspecError as error:
        if done.returncode:  # it failed before it had anything to report
            pytest.fail(last_line(done), pytrace=False)
        pytest.fail(f"capsedge {words[0]} printed unexpected JSON: {error}", pytrace=False)


def run(words: Sequence[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program; its stderr is shown if the test fails.

    Args:
        words: The program and its arguments.
        folder: Where it runs; None for the current folder.
    """
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate()
    finally:
        _kill(process.pid)
        process.wait()
    sys.stderr.write(errors)
    return subprocess.CompletedProcess(words, process.returncode, output, errors)


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Why a program failed: the signal that ended it, or the last line that it wrote."""
    if done.returncode < 0:
        return ended_by(done.returncode)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    if not lines:
        return f"exit code {done.returncode}, without a message"
    try:
        told = msgspec.json.decode(lines[-1], type=dict[str, dict[str, str]])["error"]
    except (msgspec.MsgspecError, KeyError):  # of a program that was not asked for JSON
        return lines[-1].removeprefix("capsedge: ")
    return ": ".join(filter(None, (told["text"], told["advice"])))


def isolated(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function of a module in a fresh process; its error, or the signal that ends it, fails the test."""
    __tracebackhide__ = True
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments, named))
    process.start()
    sender.close()
    assert process.pid is not None
    try:
        error, value = receiver.recv()
    except EOFError:
        process.join()
        error, value = ended_by(process.exitcode or 0), None
    finally:
        _kill(process.pid)
        process.kill()  # one that has no session of its own yet
        process.join()
    if error:
        pytest.fail(error, pytrace=False)
    result: T = value
    return result


def ended_by(code: int) -> str:
    """How a process without a result ended."""
    how = f"by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"with exit code {code}"
    return f"the process was ended {how}"


def _answer(
    sender: Connection, function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]
) -> None:
    """Call the function in the new process, and send its value or an error's line."""
    os.setsid()  # so that it can be ended with its child processes
    try:
        sender.send(("", function(*arguments, **named)))
    except CapsedgeError as error:
        sender.send((" ".join(str(error).split()), None))
    except Exception as error:
        traceback.print_exc()
        sender.send((f"{type(error).__name__}: {error}", None))


def _kill(pid: int) -> None:
    """End a process and all processes of its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
