"""The proof on a GPU, here: what needs no GPU passes, the rest says what it needs, and the report tells the truth."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from capsedge.recipe import load_recipe
from tests.gpu.artifacts import FULL, QUICK, Plan
from tests.gpu.process import ROOT
from tests.gpu.report import Proof, Record
from tests.gpu.test_training import LIMITS, VARIATIONS

without_gpu = pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="there is a GPU here")

# One test for each way in which one ends; `isolated` and the time limit as the tests of the proof have them.
ENDINGS = """
import os, sys, time
from pathlib import Path
import pytest
from tests.gpu.process import capsedge, isolated, run

def test_passes(record_property):
    record_property("saw", "all | well")
    record_property("figure", 1)

def test_crashes_with_its_driver():
    isolated(os.abort)

def test_fails_as_the_command_does():
    capsedge("verify", "nothing.onnx", kind=dict)

def test_takes_too_long():
    code = "import os, pathlib, time; pathlib.Path('child').write_text(str(os.getpid())); time.sleep(600)"
    run([sys.executable, "-c", code])

def test_cannot():
    pytest.skip("needs another machine")

def test_is_told_of_its_error():
    isolated(int, "x")

def test_is_interrupted():
    raise KeyboardInterrupt

def test_is_not_reached():
    pass
"""


@dataclass(frozen=True)
class Ran:
    """What the script left.

    Attributes:
        folder: Its folder.
        code: Its exit code.
        said: What it printed.
    """

    folder: Path
    code: int
    said: str

    @property
    def proof(self) -> Proof:
        return msgspec.json.decode((self.folder / "proof.json").read_bytes(), type=Proof)

    @property
    def page(self) -> str:
        return (self.folder / "proof.md").read_text(encoding="utf-8")


def script(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "scripts" / "prove_on_gpu.sh", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=os.environ | {"PROVE_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"},
    )


@without_gpu
@pytest.mark.timeout(900)
def test_without_a_gpu_what_needs_none_passes_and_the_rest_says_what_it_needs(tmp_path: Path) -> None:
    out = tmp_path / "proof"
    done = script("--out", out, "--quick")
    ran = Ran(out, done.returncode, done.stdout)
    proof = ran.proof
    assert ran.code == 0, ran.said
    assert (proof.gpu, proof.unreached, proof.having("failed")) == ("", (), ())
    assert {named(record) for record in proof.having("passed")} == {
        "test_the_doctor_finds_nothing_broken",
        "test_the_network_of_all_files_is_trained",
        "test_dynamic_routing_is_trained_beside_it",
        "test_the_limits_of_the_losses_find_another_seed_and_another_rate",
        *(f"test_a_file_is_exported_and_accepted[{label}]" for label in ("fp32", "int8", "dynamic")),
        *(f"test_a_file_runs_and_is_accepted[{label}-cpu]" for label in ("fp32", "int8", "dynamic")),
        "test_an_engine_is_built[int8-tensorrt_rtx]",
        *(f"test_all_that_ran_is_timed_side_by_side[{batch}]" for batch in (1, 8)),
        "test_a_repository_is_written",
    }
    needed = {
        "machine": ("NVIDIA GPU: none here", "finds no CUDA device"),
        "training": ("finds no CUDA device",),
        "export": ("bf16 does not run here",),
        "ONNX Runtime": ("cpu does not take it", "not in the installed ONNX Runtime", "there is no GPU"),
        "TensorRT": ("NVIDIA GPU: none here", "TensorRT: not installed"),
        "Triton": ("tritonserver",),
    }
    for record in proof.having("not run"):
        assert any(words in record.detail for words in needed[record.group]), record
    # Nothing claims a GPU, and no path of this machine gets out.
    passed, left = len(proof.having("passed")), len(proof.having("not run"))
    assert f"{passed} passed, 0 failed, {left} not run on this machine without an NVIDIA GPU" in ran.said
    assert ran.page.startswith("# The proof on a machine without an NVIDIA GPU\n")
    for name in ("proof.json", "proof.md"):
        text = (out / name).read_text(encoding="utf-8")
        assert not [path for path in (str(out), str(Path.home()), str(ROOT)) if path in text]
    # The figures of the records are those of the files.
    (int8,) = (
        record.data for record in proof.records if named(record) == "test_a_file_runs_and_is_accepted[int8-cpu]"
    )
    assert int8["gate"]["status"] == "accepted"
    assert 0 < int8["gate"]["mean_length_difference"] < int8["gate"]["largest_length_difference"] < 0.35
    (batch,) = (record.data for record in proof.records if record.data.get("batch") == 8)
    times = {case["label"]: case["mean_ms"] for case in batch["report"]["cases"]}
    assert list(times) == ["fp32 on cpu", "dynamic on cpu", "int8 on cpu"]
    row = next(line for line in ran.page.splitlines() if line.startswith("| int8 on cpu ("))
    assert f"| {times['int8 on cpu']:.3f} (" in row


def test_every_ending_of_a_test_is_a_record_and_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    Path("test_endings.py").write_text(ENDINGS, encoding="utf-8")
    start = (
        "import sys, pytest; from pathlib import Path; from tests.gpu.report import Report; "
        "sys.exit(pytest.main(sys.argv[1:], plugins=[Report(Path('out').resolve(), sys.argv[1:])]))"
    )
    Path("out").mkdir()
    options = ("test_endings.py", "--timeout=5", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir=.")
    done = subprocess.run([sys.executable, "-c", start, *options], capture_output=True, text=True, check=False)
    ran = Ran(tmp_path / "out", done.returncode, done.stdout)
    assert ran.code == pytest.ExitCode.INTERRUPTED
    ended = {record.what: (record.status, record.detail) for record in ran.proof.records}
    assert ended["passes"] == ("passed", "all | well")
    assert ended["crashes with its driver"] == ("failed", "the process was ended by signal 6 (Aborted)")
    assert ended["fails as the command does"][0] == "failed"
    assert ended["fails as the command does"][1].startswith("there is no file or folder 'nothing.onnx'")
    assert ended["takes too long"] == ("failed", "Timeout (>5.0s) from pytest-timeout.")
    assert ended["cannot"] == ("not run", "needs another machine")
    assert ended["is told of its error"][1].startswith("ValueError: invalid literal for int()")
    assert ran.proof.unreached[-1] == "test_endings.py::test_is_not_reached"
    assert "| test_endings: passes | passed | all &#124; well |" in ran.page
    assert "- test_endings: cannot: needs another machine" in ran.page
    assert "- test_endings.py::test_is_not_reached: the proof was interrupted before" in ran.page
    assert "1 passed, 4 failed, 1 not run" in ran.said
    child = Path("/proc", Path("child").read_text(), "stat")
    assert not child.exists() or child.read_text().split()[2] == "Z"  # ended with the test that started it


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--out", "."), "--out: expected a new or an empty folder, got '.'"),
        (("--run", "."), "--run: expected the folder of a run made by capsedge train, got '.'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    words: tuple[str, str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").touch()
    done = script(*words, "--out=new") if words[0] == "--run" else script(*words)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stdout.splitlines()[0].startswith(f"ERROR: {line}")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("plan", [FULL, QUICK], ids=["full", "quick"])
def test_every_training_of_the_proof_has_a_recipe(plan: Plan) -> None:
    for training in (plan.small, plan.full):
        for changes in (*VARIATIONS.values(), *((f"train.precision={precision}",) for precision in LIMITS)):
            load_recipe(training.recipe, (*training.changes, *changes))


def named(record: Record) -> str:
    """A record's test, without its file."""
    return record.test.rpartition("::")[2]
