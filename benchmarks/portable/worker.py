"""A model on another processor: a worker that opens it there, and the session here that sends it images.

The worker runs inside of the emulator, `python -m benchmarks.portable.worker`: it needs no torch and no onnx. The
session is as any other, so the gate judges by it what the emulated processor computes.
"""

import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer
from typing import IO, Any, TypeVar

import msgspec
import numpy as np

from benchmarks.portable.emulators import Python
from capsedge.contract import Contract
from capsedge.errors import CapsedgeError, ModelError
from capsedge.processor import Processor
from capsedge.runtime.feeds import Arrays, random_array
from capsedge.runtime.open import open_session
from capsedge.runtime.ort.wheels import load_onnxruntime
from capsedge.runtime.session import Session, check_batch
from capsedge.runtime.settings import Settings

# Larger batches compute nothing else, and a gate fills its largest with images that it has seen.
LARGEST_BATCH = 25
LIMIT_S = 1200.0

Message = TypeVar("Message")


class Array(msgspec.Struct, frozen=True, array_like=True):
    """An array on its way through a pipe."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: the file to open, and how."""

    file: str
    settings: Settings


class RunRequest(msgspec.Struct, frozen=True, tag=True):
    """Every later message to it: the model's inputs by name."""

    inputs: dict[str, Array]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker's first message: what opened the file.

    Attributes:
        provider: ONNX Runtime's execution provider.
        processor: The one that the worker runs on, as it tells itself; None where it does not.
        versions: Of Python and ONNX Runtime.
    """

    provider: str
    processor: Processor | None
    versions: dict[str, str]


class Ran(msgspec.Struct, frozen=True, tag=True):
    """Its later ones: the model's outputs by name."""

    outputs: dict[str, Array]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """Its message where something could not be done: why."""

    error: str


class EmulatedSession(Session):
    """A model on another processor.

    Args:
        file: The file, which needs no contract.
        python: A Python on that processor.
        contract: What the file promises.
        settings: How it is opened there.

    Attributes:
        ready: What the worker said of its processor.

    Raises:
        ModelError: The worker cannot open it.
    """

    def __init__(self, file: Path, python: Python, contract: Contract, settings: Settings) -> None:
        self.name, self.file, self.contract, self.settings = file.stem, file, contract, settings
        self.batch_limits = (1, LARGEST_BATCH)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        self._process = subprocess.Popen(
            python.command("-m", "benchmarks.portable.worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=python.environment,
        )
        self._limit = Timer(LIMIT_S, self._process.kill)
        self._limit.daemon = True
        self._limit.start()
        try:
            self.ready = self._asked(Open(str(file.resolve()), settings), Ready)
        except BaseException:
            self.close()
            raise
        self.provider = f"{self.ready.provider}{f', {python.emulator}' if python.emulator else ''}"

    @property
    def processor(self) -> Processor | None:
        """See `Session.processor`."""
        return self.ready.processor

    def feeds(self, batch: int) -> Arrays:
        """See `Session.feeds`."""
        check_batch(self, batch)
        assert self.contract is not None
        wanted = self.contract.input
        return {wanted.name: random_array((batch, *wanted.shape), np.uint8)}

    def run_raw(self, feeds: Arrays) -> Arrays:
        """See `Session.run_raw`."""
        return unpacked(self._asked(RunRequest(packed(feeds)), Ran).outputs)

    def close(self) -> None:
        """See `Session.close`."""
        self._limit.cancel()
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def _asked(self, question: Open | RunRequest, kind: type[Message]) -> Message:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            send(self._process.stdin, question)
            answer = receive(self._process.stdout, Ready | Ran | Refused)
        except (EOFError, BrokenPipeError, ValueError) as error:
            raise ModelError(f"'{self.name}' on the other processor: {self._end()}") from error
        if not isinstance(answer, kind):
            said = answer.error if isinstance(answer, Refused) else f"it answered {type(answer).__name__}"
            raise ModelError(f"'{self.name}' on the other processor: {said}")
        return answer

    def _end(self) -> str:
        """How the worker ended."""
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        return reason(code, self._errors.read().decode(errors="replace"))


def reason(code: int, errors: str) -> str:
    """Why a process failed.

    Args:
        code: Its exit code; of one that a signal ended, the signal's number below zero.
        errors: What it wrote to stderr.
    """
    lines = [line for line in errors.strip().splitlines() if "warning: TCG doesn't support" not in line]
    if lines:
        return lines[-1].removeprefix("capsedge: ")
    return f"it was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"it ended with code {code}"


def packed(arrays: Arrays) -> dict[str, Array]:
    """Arrays as a message holds them."""
    return {name: Array(array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def unpacked(arrays: dict[str, Array]) -> Arrays:
    """The inverse of `packed`."""
    return {
        name: np.frombuffer(array.data, np.dtype(array.dtype)).reshape(array.shape) for name, array in arrays.items()
    }


def send(stream: IO[bytes], message: object) -> None:
    """Write a message, behind its length."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(8, "little") + content)
    stream.flush()


def receive(stream: IO[bytes], kind: Any) -> Any:
    """Read a message.

    Raises:
        EOFError: The other side has ended.
    """
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return msgspec.msgpack.decode(stream.read(int.from_bytes(size, "little")), type=kind)


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Open the model of the first message, and run it on the inputs of each later one, until there are no more."""
    try:
        first: Open = receive(questions, Open)
        with open_session(first.file, first.settings) as session:
            versions = {"python": platform.python_version(), "onnxruntime": load_onnxruntime().__version__}
            send(answers, Ready(session.provider, session.processor, versions))
            while True:
                inputs = unpacked(receive(questions, RunRequest).inputs)
                send(answers, Ran(packed(session.run_raw(inputs))))
    except EOFError:
        return
    except CapsedgeError as error:
        send(answers, Refused(str(error)))


if __name__ == "__main__":
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get between the messages
    serve(sys.stdin.buffer, own)
