"""Runs the worker in a fresh process, and leaves none behind."""

import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeAlias, TypeVar

import msgspec

from capsedge.errors import ModelError
from capsedge.export.tensorrt import worker as worker_file
from capsedge.export.tensorrt.worker import About, Answer, Built, Job, Parsed, Progress

WORKER = worker_file.__file__

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Takes the name of a phase, its steps that are done, and all of its steps."""

Kind = TypeVar("Kind", Built, Parsed, About)


def run_worker(job: Job, kind: type[Kind], progress: OnProgress | None = None) -> Kind:
    """Let a fresh process do a job.

    Whatever ends this function, Ctrl-C included, ends the process too. Where this process is killed, the worker
    notices at its next step that nobody listens, and stops.

    Args:
        job: What to do.
        kind: The answer that belongs to it.
        progress: Called with every step of a build.

    Raises:
        ModelError: The process ended without an answer.
    """
    command = [sys.executable, "-P", WORKER]  # -P: the files beside it are no top-level modules
    with tempfile.TemporaryFile() as said:
        # In a session of its own a Ctrl-C at the terminal reaches this process only, which ends the worker.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, start_new_session=True
        ) as worker:
            try:
                answer = _converse(worker, job, progress)
            except BaseException:
                worker.kill()
                raise
        if not isinstance(answer, kind):
            raise ModelError(f"{job.package} {_ending(worker.returncode)} without a result: {_last_line(said)}")
    return answer


def _converse(worker: "subprocess.Popen[bytes]", job: Job, progress: OnProgress | None) -> Answer | None:
    """Give the worker its job and listen until it ends; gives its answer."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):  # it died before it read: its end says so below
        worker.stdin.write(msgspec.json.encode(job))
        worker.stdin.close()
    answer = None
    for line in worker.stdout:
        with suppress(msgspec.DecodeError):  # the half line of one that was killed
            message = msgspec.json.decode(line, type=Progress | Answer)
            if not isinstance(message, Progress):
                answer = message
            elif progress is not None:
                progress(message.phase, message.done, message.total)
    return answer


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended (exit code {code})"
    hint = ", mostly because memory ran out," if code == -signal.SIGKILL else ""
    return f"was ended by signal {-code} ({signal.strsignal(-code)}){hint}"


def _last_line(stream: BinaryIO) -> str:
    stream.seek(0)
    lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
