"""A model behind a pipe: what the worker computes arrives unchanged, and so does what goes wrong there."""

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.portable.emulators import HOST, ROOT, Python
from benchmarks.portable.worker import (
    LARGEST_BATCH,
    Array,
    EmulatedSession,
    Open,
    RunRequest,
    packed,
    reason,
    receive,
    send,
    unpacked,
)
from capsedge.contract import Contract
from capsedge.errors import ModelError
from capsedge.processor import this_processor
from capsedge.runtime.models import find_model
from capsedge.runtime.open import open_session
from capsedge.runtime.session import contract_needed
from capsedge.runtime.settings import Settings

SETTINGS = Settings(threads=1)


@pytest.fixture(scope="module")
def contract() -> Contract:
    with open_session(find_model(None), SETTINGS) as session:
        return contract_needed(session)


@pytest.fixture(scope="module")
def session(contract: Contract) -> Iterator[EmulatedSession]:
    """A worker that this very Python runs: all is real but the processor."""
    with EmulatedSession(find_model(None), HOST, contract, SETTINGS) as session:
        yield session


def test_a_worker_computes_what_a_session_here_computes(session: EmulatedSession) -> None:
    feeds = session.feeds(3)
    with open_session(find_model(None), SETTINGS) as here:
        expected = here.run_raw(feeds)

    outputs = session.run_raw(feeds)

    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(outputs[name], array)


def test_a_worker_tells_its_processor_and_its_versions(session: EmulatedSession) -> None:
    assert session.processor == this_processor()
    assert session.ready.versions.keys() == {"python", "onnxruntime"}
    assert session.provider == "CPUExecutionProvider"


def test_larger_batches_are_refused(session: EmulatedSession) -> None:
    with pytest.raises(ModelError, match=f"expected a batch of 1 to {LARGEST_BATCH}"):
        session.feeds(LARGEST_BATCH + 1)


def test_what_the_worker_refuses_is_raised_here(contract: Contract) -> None:
    images = np.zeros((1, 3, 3, 1), np.uint8)
    with (
        EmulatedSession(find_model(None), HOST, contract, SETTINGS) as session,
        pytest.raises(ModelError, match="failed to run"),
    ):
        session.run_raw({contract.input.name: images})


def test_a_file_that_is_not_there_is_told_of(contract: Contract, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no model at"):
        EmulatedSession(tmp_path / "model.onnx", HOST, contract, SETTINGS)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit('no such processor')", r"on the other processor: no such processor$"),
        ("import os; os.abort()", "it was ended by signal 6"),
    ],
)
def test_a_worker_that_does_not_start_says_why(code: str, message: str, contract: Contract) -> None:
    with pytest.raises(ModelError, match=message):
        EmulatedSession(find_model(None), Python((sys.executable, "-c", code)), contract, SETTINGS)


def test_closing_twice_is_harmless(contract: Contract) -> None:
    session = EmulatedSession(find_model(None), HOST, contract, SETTINGS)
    session.close()
    session.close()


def test_a_worker_needs_no_torch_and_no_onnx() -> None:
    code = "import benchmarks.portable.worker, sys; print(*{'torch', 'onnx', 'capsedge.export'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ""


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_arrays_arrive_as_they_were_sent(dtype: str) -> None:
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    pipe = io.BytesIO()

    send(pipe, RunRequest(packed({"image": array[:, ::2]})))
    pipe.seek(0)
    arrived = unpacked(receive(pipe, Open | RunRequest).inputs)["image"]

    assert arrived.dtype == array.dtype
    np.testing.assert_array_equal(arrived, array[:, ::2])


def test_the_end_of_a_pipe_is_no_message() -> None:
    with pytest.raises(EOFError):
        receive(io.BytesIO(b"\x01"), Array)


def test_qemus_warnings_are_no_reason() -> None:
    warning = "qemu-x86_64-static: warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid [bit 17]"

    assert reason(1, f"first\ncapsedge: the model is damaged\n{warning}\n") == "the model is damaged"
    assert reason(-11, f"{warning}\n") == "it was ended by signal 11 (Segmentation fault)"
    assert reason(3, "") == "it ended with code 3"
