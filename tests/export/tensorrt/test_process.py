"""The worker's process: what it says is heard, and nothing of it is left whatever ends it."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import onnx
import pytest

from capsedge.errors import ModelError
from capsedge.export.tensorrt import BuildOptions, build_engine, process
from capsedge.export.tensorrt.process import WORKER, run_worker
from capsedge.export.tensorrt.worker import About, Ask, Build, Built
from tests.export.tensorrt.graphs import typed

rtx = pytest.importorskip("tensorrt_rtx")

HEAD = "import os, signal, sys, time\njob = sys.stdin.read()\n"
SAYS_ITS_PID = """print('{"type":"progress","phase":"pid","done":%d,"total":0}' % os.getpid(), flush=True)\n"""
SLEEPS = "time.sleep(60)\n"


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a test writes and that takes the worker's place."""
    file = tmp_path / "stand_in.py"
    monkeypatch.setattr(process, "WORKER", str(file))
    return file


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_package_says_its_release_and_its_targets() -> None:
    about = run_worker(Ask(package="tensorrt_rtx"), About)

    assert about.version == rtx.__version__
    assert about.targets == ("sm75", "sm80", "sm86", "sm89", "sm120", "sm121")


def test_a_package_that_is_not_there_is_an_answer_and_no_crash() -> None:
    about = run_worker(Ask(package="tensorrt_of_tomorrow"), About)

    assert about.errors == ("tensorrt_of_tomorrow does not load here (No module named 'tensorrt_of_tomorrow')",)


def test_the_worker_loads_nothing_of_capsedge_and_no_torch() -> None:
    script = f"import runpy, sys; runpy.run_path({WORKER!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True)

    assert {"capsedge", "torch", "onnx", "numpy"}.isdisjoint(done.stdout.split())


def test_each_job_has_a_process_of_its_own(worker: Path) -> None:
    worker.write_text(HEAD + SAYS_ITS_PID + """print('{"type":"about","version":"1"}')""")
    pids: list[int] = []
    for _ in range(2):
        run_worker(Ask(package="any"), About, lambda _, done, __: pids.append(done))

    assert len(set(pids)) == 2
    assert not any(lives(pid) for pid in pids)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"was ended by signal 11 \(Segmentation fault\) without a result"),
        (
            "os.kill(os.getpid(), signal.SIGKILL)",
            r"by signal 9 \(Killed\), most often because memory ran out, without",
        ),
        ("sys.exit('out of luck')", r"ended \(exit code 1\) without a result: out of luck$"),
        ("pass", r"ended \(exit code 0\) without a result: it printed nothing$"),
        ("""print('{"type":"about","vers', end='')""", "without a result"),
        ("""print('{"type":"about"}')""", "without a result"),
        ("print('hello')", "without a result"),
    ],
    ids=["crash", "killed", "error", "silence", "half a line", "another answer", "no answer"],
)
def test_a_worker_that_ends_without_its_answer_is_an_error_in_one_line(
    ending: str, reason: str, worker: Path
) -> None:
    worker.write_text(HEAD + SAYS_ITS_PID + ending)

    with pytest.raises(ModelError, match=reason) as caught:
        run_worker(Build(package="tensorrt_rtx", onnx="m.onnx", engine="e", batch=(1, 1, 1)), Built)
    assert len(str(caught.value).splitlines()) == 1


def test_a_worker_that_dies_before_it_reads_is_the_same_error(worker: Path) -> None:
    worker.write_text("import sys; sys.exit('no luck')")

    with pytest.raises(ModelError, match="no luck"):
        run_worker(Build(package="tensorrt_rtx", onnx="m" * 10_000_000, engine="e", batch=(1, 1, 1)), Built)


def test_what_a_library_says_does_not_block_the_worker(worker: Path) -> None:
    worker.write_text(HEAD + """sys.stderr.write("x" * 1_000_000)\nprint('{"type":"about","version":"1"}')""")

    assert run_worker(Ask(package="any"), About).version == "1"


def test_what_a_library_prints_is_not_taken_for_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = """import atexit, os; atexit.register(os.write, 1, b'{"type":"about","version":"wrong"}')\n"""
    tmp_path.joinpath("chatty_tensorrt.py").write_text(wrong + "__version__ = '1'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    assert run_worker(Ask(package="chatty_tensorrt"), About).version == "1"


def test_the_files_beside_the_worker_are_no_modules_to_it(worker: Path) -> None:
    worker.with_name("json.py").write_text("raise RuntimeError('the wrong json')")
    worker.write_text(HEAD + """import json\nprint(json.dumps({"type": "about", "version": "1"}))""")

    assert run_worker(Ask(package="any"), About).version == "1"


def test_an_interruption_ends_the_worker_at_once(worker: Path) -> None:
    worker.write_text(HEAD + SAYS_ITS_PID + SLEEPS)
    pids: list[int] = []

    def interrupt(_: str, pid: int, __: int) -> None:
        pids.append(pid)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_worker(Ask(package="any"), About, interrupt)
    assert not lives(pids[0])


def test_an_interrupted_build_leaves_no_half_of_an_engine(model: Path) -> None:
    before = set(model.parent.iterdir())

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(model, options=BuildOptions(), progress=interrupt)
    assert set(model.parent.iterdir()) == before


def test_a_ctrl_c_at_the_terminal_reaches_the_parent_only(worker: Path) -> None:
    """The worker would die within TensorRT, which has no answer to an exception: it is in a session of its own."""
    worker.write_text(HEAD + SAYS_ITS_PID + """print('{"type":"about","version":"%d"}' % os.getsid(0))""")
    session = run_worker(Ask(package="any"), About).version

    assert int(session) != os.getsid(0)


def test_a_worker_whose_parent_was_killed_stops_at_its_next_step(tmp_path: Path) -> None:
    onnx.save(typed("fp32"), tmp_path / "m.onnx")
    job = Build(package="tensorrt_rtx", onnx=str(tmp_path / "m.onnx"), engine=str(tmp_path / "e"), batch=(1, 1, 2))
    orphan = subprocess.Popen([sys.executable, "-P", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert orphan.stdin is not None
    assert orphan.stdout is not None
    orphan.stdout.close()
    orphan.stdin.write(msgspec.json.encode(job))
    orphan.stdin.close()

    assert orphan.wait(timeout=60) == 0
    assert not (tmp_path / "e").exists()
