"""`capsedge train` and `capsedge export` as a person types them, in an empty folder."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from capsedge.cli.threads import note_load
from capsedge.statistics import wilson_interval
from capsedge.training import Run, Trainer
from capsedge.training.precision import Bf16Cost
from tests.cli.conftest import one_line
from tests.in_process import Capsedge, in_this_process
from tests.training.event_files import curves_of_events, curves_of_metrics

ROOT = Path(__file__).parents[2]
TINY = [
    "--data", "fashion-mnist-subset", "--set", "network.filters=8", "--set", "network.capsule_types=2",
    "--set", "network.class_dim=4", "--set", "train.precision=fp32", "fashion-mnist-l2-small",
]  # fmt: skip
BF16 = ["--set", "train.precision=bf16"]
HASWELL, ZEN_5 = ("sse4_1", "avx2"), ("sse4_1", "avx2", "avx512f", "avx512_vnni", "avx512_bf16")


@pytest.fixture
def capsedge(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """The command in this process and in an empty folder; a process of its own would spend its time on torch."""
    monkeypatch.chdir(tmp_path)
    return in_this_process(capsys, monkeypatch)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def leave_an_epoch(run: Path) -> None:
    """Turn a finished run of one epoch into an unfinished run of two."""
    for name, begun, left in (("run.json", '"finished"', '"training"'), ("recipe.toml", "epochs = 1", "epochs = 2")):
        (run / name).write_text((run / name).read_text().replace(begun, left))


def test_train_then_export_then_infer_without_naming_anything_twice(tmp_path: Path, capsedge: Capsedge) -> None:
    trained = capsedge("train", *TINY, "--set", "train.epochs=1", "--json")
    assert trained.returncode == 0, trained.stderr
    record = msgspec.json.decode(trained.stdout)
    assert record["run"] == "runs/fashion-mnist-l2-small"
    assert record["status"] == "finished"
    (test,) = (score for score in record["scores"] if score["split"] == "test")
    low, high = wilson_interval(round(test["error"] * test["images"]), test["images"])
    interval = f"(95 %: {100 * low:.2f} % to {100 * high:.2f} %)"
    assert f"test error: {100 * test['error']:.2f} % {interval} on {test['images']:,} images\n" in trained.stderr
    again = "next: do as the warning says and train again; "  # after one epoch the error is near chance
    assert f"{again}capsedge export runs/fashion-mnist-l2-small exports the run as it is\n" in trained.stderr

    exported = capsedge("export")  # the newest run
    assert exported.returncode == 0, exported.stderr
    assert "run: runs/fashion-mnist-l2-small, trained on Fashion-MNIST" in exported.stderr
    assert "gate: accepted" in exported.stderr
    assert exported.stdout == ""
    assert exported.stderr.endswith(
        "next: capsedge infer --model runs/fashion-mnist-l2-small/model.onnx YOUR_IMAGE\n"
    )

    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "image.png")
    inferred = capsedge("infer", "--model", "runs/fashion-mnist-l2-small", "image.png", "--json")
    assert inferred.returncode == 0, inferred.stderr
    assert len(inferred.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("sets", "precision", "words"),
    [
        (ZEN_5, "bf16", "on cpu, bf16 (auto: this processor has avx512_bf16)"),
        (HASWELL, "fp32", "on cpu, fp32 (auto: this processor has no bf16 instructions)"),
        ("unavailable", "fp32", "on cpu, fp32 (auto: this system does not tell the processor's instruction sets)"),
    ],
)
def test_the_default_precision_is_chosen_and_the_choice_is_told(
    sets: object, precision: str, words: str, tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capsedge.processor.instruction_sets", lambda: sets)
    monkeypatch.setattr("capsedge.training.precision._onednn_takes_bf16", lambda: True)
    trained = capsedge("train", *TINY, "--set", "train.precision=auto", "--set", "train.epochs=1", "--json")
    assert trained.returncode == 0, trained.stderr
    assert words in trained.stderr
    assert "note: " not in trained.stderr
    assert msgspec.json.decode(trained.stdout)["precision"] == precision
    (recipe,) = tmp_path.glob("runs/*/recipe.toml")
    assert f'precision = "{precision}"' in recipe.read_text()


def test_bf16_without_its_units_starts_with_one_line_that_says_what_it_costs(tmp_path: Path) -> None:
    """oneDNN held to AVX2: torch then computes bf16 by its slow code, as on a processor without AVX-512."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the environment variable is of x86")
    slow = environment() | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "capsedge", "train", *TINY, *BF16, "--set", "train.epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=slow)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    told = re.fullmatch(
        r"note: (.*): a step takes about ([\d.]+) times as long as in fp32 \(measured on \d+ images?\); "
        r"avoid it by --set train\.precision=auto",
        line,
    )
    assert told, line
    assert told[1].startswith(("this processor has no bf16", "torch does not use this processor's "))
    assert float(told[2]) > 2
    said = done.stderr.splitlines()
    assert said.index(line) < next(number for number, each in enumerate(said) if each.startswith("epoch"))


def test_a_resumed_run_says_what_its_precision_costs_on_this_processor(
    tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began in bf16 on a processor with the units, and goes on in it on one without."""
    monkeypatch.setattr("capsedge.processor.instruction_sets", lambda: ZEN_5)
    monkeypatch.setattr("capsedge.training.precision._onednn_takes_bf16", lambda: True)
    assert capsedge("train", *TINY, *BF16, "--set", "train.epochs=1", "--run", "r").returncode == 0
    leave_an_epoch(tmp_path / "r")

    monkeypatch.setattr("capsedge.processor.instruction_sets", lambda: HASWELL)
    monkeypatch.setattr(Trainer, "cost_of_bf16", lambda self: Bf16Cost(times_fp32=13.7, images=1))
    resumed = capsedge("train", "--resume", "--run", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert "at epoch 2, step 13, in bf16" in resumed.stderr
    note = "this processor has no bf16 instructions: a step takes about 14 times as long as in fp32 (measured"
    assert f"note: {note} on 1 image); a resumed run keeps its precision\n" in resumed.stderr


def test_the_threads_are_those_of_the_option_and_a_resumed_run_with_others_says_so(
    tmp_path: Path, capsedge: Capsedge
) -> None:
    before = torch.get_num_threads()
    try:
        done = capsedge("train", *TINY, "--set", "train.epochs=1", "--threads", "2", "--run", "r", "--json")
        assert msgspec.json.decode(done.stdout)["threads"] == 2
        assert torch.get_num_threads() == before
        leave_an_epoch(tmp_path / "r")
        resumed = capsedge("train", "--resume", "--run", "r", "--threads", "1")
        assert resumed.returncode == 0, resumed.stderr
        assert "note: the run had 2 CPU threads, and now has 1: its numbers will differ" in resumed.stderr
        assert "--threads 2 avoids it" in resumed.stderr
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("load", "options", "noted"),
    [(7.14, [], True), (7.14, ["--threads", "2"], False), (0.4, [], False), (OSError, [], False)],
)
def test_a_busy_machine_is_noted_once_with_the_option_that_helps(
    load: float | type[OSError],
    options: list[str],
    noted: bool,
    capsedge: Capsedge,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load_averages() -> tuple[float, float, float]:
        if not isinstance(load, float):
            raise load
        return load, 0.0, 0.0

    monkeypatch.setattr(os, "getloadavg", load_averages)
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        done = capsedge("train", *TINY, "--set", "train.epochs=1", *options)
    finally:
        torch.set_num_threads(before)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == noted
    for note in notes:
        assert re.fullmatch(
            r"note: other programs had a load average of [67]\.\d on 4 cores in the last minute; the training has "
            r"2 threads, which wait for each other in each step; --threads 1 may be much faster",
            note,
        )


def test_processes_of_one_thread_are_not_advised_to_have_fewer(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (7.14, 0.0, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            note_load("cpu", 0, processes=2)
    finally:
        torch.set_num_threads(before)
    (note,) = capsys.readouterr().err.splitlines()
    assert "the training has 4 threads" in note


def test_a_learning_rate_that_was_scaled_is_told_with_the_one_that_was_set(
    capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*TINY, "--set", "train.epochs=1", "--set", "train.learning_rate=0.008"]
    scaled = capsedge("train", *options, "--set", "train.batch_size=0", "--json")
    (plan,) = (line for line in scaled.stderr.splitlines() if line.startswith("plan: "))
    given = "(train.learning_rate=0.008 is for batches of 128, and scaled by sqrt(32 / 128))"
    assert f", batches of 32, learning rate 0.004 {given}; " in plan

    own = [*TINY, "--set", "train.epochs=0", "--set", "train.learning_rate=0.008", "--set", "train.patience=1"]
    chosen = capsedge("train", *own, "--set", "train.batch_size=1280")
    (plan,) = (line for line in chosen.stderr.splitlines() if line.startswith("plan: "))
    assert ", learning rate 0.008; chosen by the number of images: train.epochs" in plan

    monkeypatch.setattr("capsedge.training.plan.BATCHES", 1)  # as if there were enough images for batches of 128
    odd = ["--set", "train.learning_rate=0.0012345", "--set", "train.batch_size=0", "--set", "data.balance=true"]
    rounded = capsedge("train", *TINY, "--set", "train.epochs=1", *odd)
    (plan,) = (line for line in rounded.stderr.splitlines() if line.startswith("plan: "))
    assert ", batches of 128, learning rate 0.00123; " in plan
    assert plan.endswith(
        "; classes are drawn as they are, since none has over 3 times the images of another (data.balance)"
    )


def test_a_training_that_ends_at_chance_warns_and_says_what_to_lower(capsedge: Capsedge) -> None:
    done = capsedge("train", *TINY, "--set", "train.epochs=1", "--set", "train.learning_rate=1e6", "--json")
    assert done.returncode == 0, done.stderr
    (warning,) = msgspec.json.decode(done.stdout)["warnings"]
    assert warning["code"] == "at-chance"
    assert "the training diverged or has hardly begun; lower train.learning_rate (it was 1e+06)" in warning["text"]
    assert f"warning: {warning['text']}\n" in done.stderr


def test_ctrl_c_leaves_a_run_that_resume_finishes(tmp_path: Path, capsedge: Capsedge) -> None:
    machine = ["--device", "cpu", "--threads", "1"]
    command = [sys.executable, "-m", "capsedge", "train", *TINY, "--set", "train.epochs=400", *machine]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment())
    metrics = tmp_path / "runs" / "fashion-mnist-l2-small" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    again = "resume with capsedge train --resume --run runs/fashion-mnist-l2-small"
    assert f"{again} --device cpu --threads 1\n" in said
    assert "Traceback" not in said

    recipe = metrics.with_name("recipe.toml")  # two epochs more, so that the test ends
    epochs = metrics.read_text().count('"training"') + 2
    recipe.write_text(recipe.read_text().replace("epochs = 400", f"epochs = {epochs}"))
    resumed = capsedge("train", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming runs/fashion-mnist-l2-small (fashion-mnist-l2-small) at epoch" in resumed.stderr


def test_ctrl_c_before_the_training_begins_leaves_nothing_and_says_so(
    tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("capsedge.training.dataset_of", interrupted)
        fresh = capsedge("train", *TINY)
    assert fresh.returncode == 130
    assert fresh.stderr == "capsedge: interrupted before the training began: there is no run to resume\n"
    assert [*tmp_path.glob("runs/*")] == []

    with monkeypatch.context() as patched:
        patched.setattr("capsedge.cli.train.note_load", interrupted)
        begun = capsedge("train", *TINY, "--set", "train.epochs=1")
    resuming = "capsedge train --resume --run runs/fashion-mnist-l2-small"
    assert begun.returncode == 130
    assert begun.stderr.endswith(f"capsedge: interrupted: resume with {resuming}\n")

    with monkeypatch.context() as patched:
        patched.setattr("capsedge.training.Run.load_dataset", interrupted)
        again = capsedge(*resuming.split()[1:])
    assert again.returncode == 130
    assert "the run is as it was: the same command resumes it" in again.stderr
    assert capsedge(*resuming.split()[1:]).returncode == 0


def test_a_run_that_is_logged_for_tensorboard_stays_logged(
    tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = capsedge("train", *TINY, "--set", "train.epochs=1", "--log", "tensorboard")
    assert trained.returncode == 0, trained.stderr
    run = Run(tmp_path / "runs" / "fashion-mnist-l2-small")
    watch = "log:    TensorBoard; view it with tensorboard --logdir runs/fashion-mnist-l2-small/tensorboard\n"
    assert watch in trained.stderr
    assert "epoch   1  validation error" in trained.stderr
    assert curves_of_events(run) == curves_of_metrics(run)
    leave_an_epoch(run.path)

    with monkeypatch.context() as without:  # as on a machine without the package
        without.setitem(sys.modules, "tensorboard", None)
        without.delitem(sys.modules, "torch.utils.tensorboard")
        line = one_line(capsedge("train", "--resume"), 1)
    assert "pip install 'capsedge[tensorboard]', or move 'runs/fashion-mnist-l2-small/tensorboard' away" in line

    time.sleep(1)  # event files are read in the order of their names, which tell the second
    resumed = capsedge("train", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert watch in resumed.stderr
    assert [step for step, _ in curves_of_events(run)["validation/error"]] == [13, 26]
    assert curves_of_events(run) == curves_of_metrics(run)


def test_tensorboard_that_is_not_installed_is_told_before_the_training(
    tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    line = one_line(capsedge("train", *TINY, "--log", "tensorboard"), 1)
    assert line.endswith(
        "this needs the Python package 'tensorboard', which is not installed: pip install 'capsedge[tensorboard]'"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_network_learns_from_runs_and_goes_on_with_the_same_ones_only(tmp_path: Path, capsedge: Capsedge) -> None:
    once = ["--set", "train.epochs=1"]
    for seed in ("0", "1"):
        teacher = capsedge("train", *TINY, *once, "--set", f"train.seed={seed}", "--run", f"runs/seed-{seed}")
        assert teacher.returncode == 0, teacher.stderr
    own = tmp_path / "own.toml"  # a recipe can name a teacher, too
    own.write_text("extends = 'fashion-mnist-l2-small'\n[train]\nteachers = ['runs/seed-0']\ndistillation = 0.25\n")
    options = [each for each in TINY if each != "fashion-mnist-l2-small"]
    taught = capsedge("train", str(own), *options, *once, "--teacher", "runs/seed-1", "--run", "student", "--json")
    assert taught.returncode == 0, taught.stderr
    folders = [str(tmp_path.resolve() / "runs" / f"seed-{seed}") for seed in "01"]
    assert f"teachers: {folders[0]}, {folders[1]} (train.distillation 0.25)" in taught.stderr
    assert [each["run"] for each in msgspec.json.decode(taught.stdout)["teachers"]] == folders
    student = tmp_path / "student"
    assert tomllib.loads((student / "recipe.toml").read_text())["train"]["teachers"] == folders

    assert "trained on other data" not in taught.stderr

    record = (student / "run.json").read_text()
    (student / "run.json").write_text(record.replace('"finished"', '"training"'))
    best = tmp_path / "runs" / "seed-1" / "best.safetensors"
    shutil.copy(best.with_name("last.safetensors"), best)
    line = one_line(capsedge("train", "--resume", "--run", "student"), 1)
    assert (
        f"learns from teacher '{folders[1]}', and '{folders[1]}' now has other weights: restore the former weights"
        in line
    )
    shutil.rmtree(best.parent)
    line = one_line(capsedge("train", "--resume", "--run", "student"), 1)
    assert f"teacher '{folders[1]}' must be a finished run, and cannot be read" in line


def test_a_teacher_of_other_data_gets_one_remark(tmp_path: Path, capsedge: Capsedge) -> None:
    once = ["--set", "train.epochs=1"]
    assert capsedge("train", *TINY, *once, "--run", "teacher").returncode == 0
    record = tmp_path / "teacher" / "run.json"
    values = msgspec.json.decode(record.read_bytes()) | {"data_sha256": "0" * 64}
    record.write_bytes(msgspec.json.encode(values))

    taught = capsedge("train", *TINY, *once, "--teacher", "teacher", "--run", "student")

    assert taught.returncode == 0, taught.stderr
    (line,) = [line for line in taught.stderr.splitlines() if line.startswith("note: ")]
    assert line.startswith(f"note: these teachers were trained on other data: {record.parent.resolve()}; ")
    assert "may have seen the validation images" in line


@pytest.mark.parametrize(("grid", "said"), [(14, "1 block"), (4, "3 blocks")])
def test_the_blocks_that_are_built_are_counted(grid: int, said: str, capsedge: Capsedge) -> None:
    """Of images of 28 pixels, with one block in the recipe that halves them."""
    stem = ["network.stem=plain", "network.blocks=[[8, 2]]", f"network.grid={grid}", "network.primary_kernel=3"]
    options = [word for each in (*stem, "train.epochs=1", "network.class_dim=4") for word in ("--set", each)]
    small = ["--set", "network.capsule_types=2", "--set", "train.precision=fp32", "--data", "fashion-mnist-subset"]

    trained = capsedge("train", "fashion-mnist-l2-small", *small, *options)

    assert trained.returncode == 0, trained.stderr
    assert f"plain stem of {said}, 2 capsule types" in trained.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "fashion-mnist-l3"], 2, "unknown recipe 'fashion-mnist-l3': did you mean 'fashion-mnist-l2'?"),
        (["train", "--set", "epochs"], 2, "expected section.key=value"),
        (["train", "--resume"], 1, "there is no training run in 'runs/'"),
        (["train", "--resume", "mnist-l2"], 2, "leave out RECIPE"),
        (["train", "--resume", "--teacher", "a"], 2, "leave out RECIPE, --set, --data and --teacher"),
        (["train", *TINY, "--teacher", "nowhere"], 1, "nowhere' must be a finished run, and cannot be read: "),
        (["train", "--resume", "--run", "nowhere"], 1, "'nowhere' is not a run"),
        (["train", "--resume", "--run", "/dev/null"], 1, "'/dev/null' is not a run"),
        (["train", "--run", "/dev/null"], 2, "expected a folder, got the file '/dev/null'"),
        (["train", "--download", "--data", "."], 2, "'.' is a folder: name one of fashion-mnist, mn"),
        (["train", ""], 2, "expected a path, a name or another value after 'train', got an empty text"),
        (["train", *TINY, "--set", "network.capsule_types=60000"], 2, "routing weights for images of"),
        (["train", *TINY, "--set", "network.kernel=15"], 2, "at least 29x29 pixels"),
        (["export"], 1, "there is no finished or training run in 'runs/': start one with capsedge train"),
        (["export", "--trt", "--trt-batch", "1,2"], 2, "expected three integers such as 1,8,64, got '1,2'"),
        (["export", "--trt", "--trt-target", "ampere"], 2, "such as sm86, got 'ampere'"),
        (["export", "--trt-batch", "1,2,4"], 2, "add --trt"),
        (["export", "--output", "model.engine"], 2, "ends in .onnx, got 'model.engine'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    arguments: list[str], code: int, words: str, tmp_path: Path, capsedge: Capsedge
) -> None:
    assert words in one_line(capsedge(*arguments), code)
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_process_trains_is_not_resumed(tmp_path: Path, capsedge: Capsedge) -> None:
    once = ["--set", "train.epochs=1"]
    assert capsedge("train", *TINY, *once, "--run", "runs/mine").returncode == 0
    record = tmp_path / "runs" / "mine" / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"training"'))
    holding = (
        "import time; from pathlib import Path; from capsedge.training import Run\n"
        "with Run(Path('runs/mine')).locked(): print('held', flush=True); time.sleep(300)"
    )
    words = [sys.executable, "-c", holding]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        line = one_line(capsedge("train", "--resume"), 1)
        process.kill()
    assert line == f"capsedge: run 'runs/mine' is being trained by process {process.pid}"


@pytest.mark.parametrize("launcher", [(), ("RANK", "LOCAL_RANK")], ids=["alone", "another launcher's rank 1"])
def test_a_folder_with_files_is_not_filled(
    launcher: tuple[str, ...], tmp_path: Path, capsedge: Capsedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in launcher:
        monkeypatch.setenv(name, "1")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    result = capsedge("train", *TINY, "--run", "mine")
    assert "'mine' is not an empty folder" in one_line(result, 2)


def test_names_of_any_spelling_go_through_the_command_line(tmp_path: Path, capsedge: Capsedge) -> None:
    """An apostrophe would break a TOML string, a bracket is markup to rich, a space must be quoted for a shell."""
    shutil.copytree(ROOT / "capsedge/data/fashion-mnist-subset", tmp_path / "john's mnist")
    run = "runs/a [red]b[/b]"
    result = capsedge("train", "--data", "john's mnist", *TINY[2:], "--set", "train.epochs=1", "--run", run)
    assert result.returncode == 0, result.stderr
    assert f"capsedge export '{run}'" in result.stderr
    record = msgspec.json.decode((tmp_path / run / "run.json").read_bytes())
    assert record["data_source"] == str(tmp_path / "john's mnist")


def test_a_missing_part_of_an_extra_is_no_bug_of_capsedge(tmp_path: Path) -> None:
    code = "import sys; sys.modules['safetensors'] = None; from capsedge.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "train", *TINY],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment(),
    )
    line = one_line(result, 1)
    assert "is not installed" in line
    assert "pip install 'capsedge[train,export]'" in line


def test_a_folder_of_ones_own_images_goes_through_every_step(tmp_path: Path, capsedge: Capsedge) -> None:
    """Three classes of 20x24 colour images: nothing knows of garments or of 28 pixels."""
    random = np.random.default_rng(0)
    for part, count in (("train", 20), ("test", 6)):
        for channel, name in enumerate(("blue sky", "grass", "rose")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 90, (20, 24, 3), dtype=np.uint8)
                pixels[..., 2 - channel] += 150
                Image.fromarray(pixels).save(folder / f"{number}.png")
    small = ["--set", "network.blocks=[[8, 2], [8, 2]]", "--set", "network.capsule_types=4"]
    small += ["--set", "train.batch_size=16"]
    small += ["--set", "train.precision=fp32"]
    trained = capsedge("train", "--data", "photos", *small, "--set", "train.epochs=25", "--json")
    assert trained.returncode == 0, trained.stderr
    record = msgspec.json.decode(trained.stdout)
    assert record["classes"] == ["blue sky", "grass", "rose"]
    assert record["shape"] == [20, 24, 3]
    exported = capsedge("export")
    assert exported.returncode == 0, exported.stderr
    inferred = capsedge("infer", "photos/test", "--model", record["run"], "--json")
    assert inferred.returncode == 0, inferred.stderr
    answers = [msgspec.json.decode(line) for line in inferred.stdout.splitlines()]
    assert len(answers) == 18
    assert all(Path(answer["path"]).parent.name == answer["class"] for answer in answers)
