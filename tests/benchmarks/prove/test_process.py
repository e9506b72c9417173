"""Processes of their own: a crash, a time limit and a wrong answer are one line each."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.prove.process import NOT_POSSIBLE, ROOT, Said, _kill, capsedge, job, run
from benchmarks.prove.record import Failed, NotPossible


def wait_for(what: Callable[[], bool]) -> None:
    for _ in range(400):
        if what():
            return
        time.sleep(0.05)
    pytest.fail("it did not come to that within 20 s")


def assert_gone(folder: Path) -> None:
    """The process whose number a script wrote is no longer there, or a zombie that nobody has fetched yet."""
    child = (folder / "child").read_text()

    def gone() -> bool:
        try:
            return Path("/proc", child, "stat").read_text().split()[2] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    try:
        wait_for(gone)
    finally:
        if not gone():
            os.kill(int(child), signal.SIGKILL)


def test_a_process_that_crashes_names_its_signal(tmp_path: Path) -> None:
    said = run([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], folder=tmp_path, limit_s=60)
    with pytest.raises(Failed, match=r"ended by signal 11 \(Segmentation fault\)"):
        said.answer(int)


def test_a_time_limit_ends_the_process_and_what_it_started(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys, pathlib; child = subprocess.Popen(['sleep', '600']); "
        "pathlib.Path('child').write_text(str(child.pid)); child.wait()"
    )
    with pytest.raises(Failed, match="was ended after 3 s, its limit"):
        run([sys.executable, "-c", script], folder=tmp_path, limit_s=3)
    assert_gone(tmp_path)


def test_an_interruption_ends_the_process_too(tmp_path: Path) -> None:
    script = "import pathlib; from benchmarks.prove.process import run; "
    inner = "import os, pathlib, time; pathlib.Path('child').write_text(str(os.getpid())); time.sleep(600)"
    script += f"run(['{sys.executable}', '-c', {inner!r}], folder=pathlib.Path({str(tmp_path)!r}), limit_s=600)"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE) as process:
        wait_for(lambda: (tmp_path / "child").exists() and bool((tmp_path / "child").read_text()))
        process.send_signal(signal.SIGINT)
        assert b"KeyboardInterrupt" in process.communicate(timeout=60)[1]
    assert_gone(tmp_path)


def test_a_process_that_has_just_ended_by_itself_is_no_error() -> None:
    with subprocess.Popen(["true"], start_new_session=True) as process:
        process.wait()
        _kill(process)


def test_an_error_of_capsedge_is_its_line_without_the_name(tmp_path: Path) -> None:
    said = capsedge("verify", "nothing.onnx", "--json", folder=tmp_path, limit_s=60)
    with pytest.raises(Failed, match=r"^there is no file or folder 'nothing\.onnx'"):
        said.answer(dict)


def test_an_error_in_a_job_is_its_line_too(tmp_path: Path) -> None:
    said = job("repository", {"folder": "models", "models": ["nothing.onnx"]}, folder=tmp_path, limit_s=60)
    assert said.code == 1
    assert "nothing.onnx" in said.reason


def test_a_job_can_say_that_the_machine_cannot() -> None:
    with pytest.raises(NotPossible, match="it takes another GPU"):
        Said(NOT_POSSIBLE, b"", "it takes another GPU").answer(int)


def test_an_answer_of_another_form_is_a_failure() -> None:
    with pytest.raises(Failed, match="printed something else than was expected"):
        Said(0, b"[1]", "").answer(int)
    assert Said(1, b"7", "rejected").printed(int) == 7
