"""Runs the worker in a new process and always ends it."""

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
"""Called with the name of a phase, its completed steps and its total steps."""

Kind = TypeVar("Kind", Built, Parsed, About)


def run_worker(job: Job, kind: type[Kind], progress: OnProgress | None = None) -> Kind:
    """Run a job in a new process.

    The process ends with this function, also on Ctrl-C. If this process is killed, the worker stops at its next step,
    when it cannot report its progress.

    Args:
        job: The job.
        kind: Type of the job's answer.
        progress: Called with every step of a build.

    Raises:
        ModelError: The process ended without an answer.
    """
    command = [sys.executable, "-P", WORKER]  # -P: do not import the files beside it as top-level modules
    with tempfile.TemporaryFile() as stderr:
        # In a new session the worker does not receive Ctrl-C from the terminal; this process does, and kills it.
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, start_new_session=True
        ) as worker:
            try:
                answer = _converse(worker, job, progress)
            except BaseException:
                worker.kill()
                raise
        if not isinstance(answer, kind):
            raise ModelError(f"{job.package} {_ending(worker.returncode)} without a result: {_last_line(stderr)}")
    return answer


def _converse(worker: "subprocess.Popen[bytes]", job: Job, progress: OnProgress | None) -> Answer | None:
    """Send the worker its job and read its output until it ends; returns its answer."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    with suppress(BrokenPipeError):  # the worker died before it read the job: reported below
        worker.stdin.write(msgspec.json.encode(job))
        worker.stdin.close()
    answer = None
    for line in worker.stdout:
        with suppress(msgspec.DecodeError):  # the partial line of a killed worker
            message = msgspec.json.decode(line, type=Progress | Answer)
            if not isinstance(message, Progress):
                answer = message
            elif progress is not None:
                progress(message.phase, message.done, message.total)
    return answer


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended (exit code {code})"
    hint = ", most often because memory ran out," if code == -signal.SIGKILL else ""
    return f"was ended by signal {-code} ({signal.strsignal(-code)}){hint}"


def _last_line(stream: BinaryIO) -> str:
    stream.seek(0)
    lines = stream.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it printed nothing"
