"""A model on an emulated processor: a worker that runs it there, and the session that sends it images.

The worker runs inside the emulator, `python -m benchmarks.portable.worker`; it needs no torch and no onnx. The
session has the usual interface, so the gate can check the emulated processor with it.
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

# Larger batches use the same kernels, and the gate would fill its largest batch with repeated images.
LARGEST_BATCH = 25
LIMIT_S = 1200.0

Message = TypeVar("Message")


class Array(msgspec.Struct, frozen=True, array_like=True):
    """An array in a message."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes


class Open(msgspec.Struct, frozen=True, tag=True):
    """The first message to a worker: the file to open, and its settings."""

    file: str
    settings: Settings


class RunRequest(msgspec.Struct, frozen=True, tag=True):
    """Every later message to a worker: the model's inputs by name."""

    inputs: dict[str, Array]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker's first message: the environment in which the file is open.

    Attributes:
        provider: ONNX Runtime's execution provider.
        processor: The worker's processor, as detected there; None if unknown.
        versions: Versions of Python and ONNX Runtime.
    """

    provider: str
    processor: Processor | None
    versions: dict[str, str]


class Ran(msgspec.Struct, frozen=True, tag=True):
    """A worker's later messages: the model's outputs by name."""

    outputs: dict[str, Array]


class Refused(msgspec.Struct, frozen=True, tag=True):
    """A worker's message about an error."""

    error: str


class EmulatedSession(Session):
    """A model on another processor.

    Args:
        file: The file, which needs no contract.
        python: A Python on that processor.
        contract: Contract of the file.
        settings: Settings of the session there.

    Attributes:
        ready: The worker's first message.

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
            said = answer.error if isinstance(answer, Refused) else f"unexpected answer {type(answer).__name__}"
            raise ModelError(f"'{self.name}' on the other processor: {said}")
        return answer

    def _end(self) -> str:
        """The reason why the worker ended."""
        self._process.kill()
        code = self._process.wait()
        self._errors.seek(0)
        return reason(code, self._errors.read().decode(errors="replace"))


def reason(code: int, errors: str) -> str:
    """Why a process failed.

    Args:
        code: Its exit code; the negative number of a signal that ended it.
        errors: Its stderr.
    """
    lines = [line for line in errors.strip().splitlines() if "warning: TCG doesn't support" not in line]
    if lines:
        return lines[-1].removeprefix("capsedge: ")
    return f"it was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"it ended with code {code}"


def packed(arrays: Arrays) -> dict[str, Array]:
    """Arrays in the form of a message."""
    return {name: Array(array.dtype.str, array.shape, array.tobytes()) for name, array in arrays.items()}


def unpacked(arrays: dict[str, Array]) -> Arrays:
    """The inverse of `packed`."""
    return {
        name: np.frombuffer(array.data, np.dtype(array.dtype)).reshape(array.shape) for name, array in arrays.items()
    }


def send(stream: IO[bytes], message: object) -> None:
    """Write a message, preceded by its length."""
    content = msgspec.msgpack.encode(message)
    stream.write(len(content).to_bytes(8, "little") + content)
    stream.flush()


def receive(stream: IO[bytes], kind: Any) -> Any:
    """Read a message.

    Raises:
        EOFError: The other side has closed the stream.
    """
    size = stream.read(8)
    if len(size) < 8:
        raise EOFError
    return msgspec.msgpack.decode(stream.read(int.from_bytes(size, "little")), type=kind)


def serve(questions: IO[bytes], answers: IO[bytes]) -> None:
    """Open the model of the first message, and run it on the inputs of each later one, until the stream ends."""
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
    os.dup2(2, 1)  # libraries may print to stdout, which carries the messages
    serve(sys.stdin.buffer, own)
