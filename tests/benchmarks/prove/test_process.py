"""Processes of their own: a crash, a time limit and a wrong answer are one line each."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from benchmarks.prove.process import NOT_POSSIBLE, Said, capsedge, job, run
from benchmarks.prove.record import Failed, NotPossible


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
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{child}/stat").exists() and Path(f"/proc/{child}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    pytest.fail("the process that it started is still there")


def test_an_error_of_capsedge_is_its_line_without_the_name(tmp_path: Path) -> None:
    said = capsedge("verify", "nothing.onnx", "--json", folder=tmp_path, limit_s=60)
    with pytest.raises(Failed, match=r"^there is no file and no built-in model 'nothing\.onnx'"):
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
