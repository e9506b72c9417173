"""Two processes against one: real gloo processes, started as a user would, on the same batches."""

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import load_file
from torch import distributed

from capsedge.errors import ModelError, WrongUse
from capsedge.recipe import Recipe, to_values
from capsedge.training import Run, Trainer, dataset_of, launch
from capsedge.training.devices import reporting_lost_process
from capsedge.training.metrics import read_metrics
from tests.tiny import Silent, tiny_recipe
from tests.training.event_files import curves_of_events, curves_of_metrics
from tests.training.residual import residual_recipe

RECIPE = ("train.batch_size=83", "train.epochs=1", "network.decoder=[16]", "data.shift=1", "train.validations=4")
# 1,600 images in batches of 83: 20 steps, the last with 23 images, which are 12 for one and 11 for the other. In
# batches of 123: 14 steps, the last with one image, and the other process has none.
ONE_HAS_NONE = ("train.batch_size=123", "data.standardize=true")


def command(folder: Path, *, recipe: Recipe, torchrun: bool = False) -> list[str]:
    """A training of two fresh processes, or the rest of one that was begun."""
    options = ["--run", str(folder)]
    if (folder / "run.json").exists():
        options += ["--resume"]
    else:
        path = folder.with_suffix(".toml")
        path.write_text(tomli_w.dumps(to_values(recipe)))
        options += [str(path), "--data", "fashion-mnist-subset"]
    train = ["capsedge", "train", *options, "--device", "cpu", "--log", "tensorboard"]
    if torchrun:  # it would take --run for an option of its own, but for the two dashes
        return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "-m", "--", *train]
    return [sys.executable, "-m", *train, "--devices", "2"]


def environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "MASTER", "LOCAL"))}
    return kept | {"OMP_NUM_THREADS": "1"}


def start(folder: Path, *, recipe: Recipe, torchrun: bool = False) -> None:
    """Train to the end."""
    words = command(folder, recipe=recipe, torchrun=torchrun)
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("test error") == 1, "one of the processes speaks, and only one"


def interrupt(folder: Path, *, recipe: Recipe) -> None:
    """Start a training and press Ctrl-C, which reaches every process, in its first epoch."""
    words = command(folder, recipe=recipe)
    with subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env=environment(), start_new_session=True
    ) as process:
        while process.poll() is None and not (folder / "last.safetensors").exists():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 130, said
    assert said.count("resume with capsedge train --resume") == 1, "one of the processes speaks, and only one"
    assert "--devices 2" in said


def differences(one: Run, two: Run) -> dict[str, float]:
    """Largest difference of each tensor of the last checkpoints, over the size of its largest value."""
    first, second = load_file(one.last), load_file(two.last)
    assert first.keys() == second.keys()
    assert any(key.startswith("routing.") for key in first), "the moments of b belong to the checkpoint"
    assert any(key.startswith("weights.") for key in first)
    return {
        key: float((first[key] - second[key]).abs().max() / first[key].abs().max().clamp_min(1e-12)) for key in first
    }


def begun(folder: Path, recipe: Recipe) -> Trainer:
    """A training in this process, which has taken its folder."""
    trainer = Trainer(recipe, dataset_of(recipe.data), Run(folder), device="cpu")
    trainer.start()
    return trainer


def alone(folder: Path, recipe: Recipe) -> Run:
    """Train to the end in this process, from the start or from where a training was interrupted."""
    run = Run(folder)
    if not folder.exists():
        trainer = begun(folder, recipe)
    else:
        trainer = Trainer(run.read_recipe(), run.load_dataset(), run, device="cpu")
        trainer.resume()
    trainer.train(Silent())
    return run


@pytest.mark.parametrize(
    ("torchrun", "more", "steps"), [(False, ONE_HAS_NONE, 14), (True, (), 20)], ids=["--devices 2", "torchrun"]
)
def test_two_processes_reach_the_state_of_one(
    torchrun: bool, more: tuple[str, ...], steps: int, tmp_path: Path
) -> None:
    recipe = tiny_recipe(*RECIPE, *more)
    one, both = alone(tmp_path / "one", recipe), Run(tmp_path / "both")
    start(both.path, recipe=recipe, torchrun=torchrun)
    assert read_metrics(both.metrics)[-1]["step"] == steps
    assert len(list(both.tensorboard.iterdir())) == 1, "one of the processes writes the log, and only one"
    assert curves_of_events(both) == curves_of_metrics(both)
    # Sums in another order: some float32 digits differ, and Adam's second moments square that.
    assert {key: value for key, value in differences(one, both).items() if value > 2e-3} == {}
    b = {run: load_file(run.last)["network.routing.b"] for run in (one, both)}
    assert (b[one] - 1).abs().max() > 0.05, "b has moved"
    torch.testing.assert_close(b[both], b[one], rtol=0, atol=1e-5)
    for name in ("loss", "error"):
        rows = [[row[name] for row in read_metrics(run.metrics) if name in row] for run in (one, both)]
        assert rows[0] == pytest.approx(rows[1], rel=1e-4, abs=1e-9)


def test_two_processes_with_normalization_and_dropout_reach_the_state_of_one(tmp_path: Path) -> None:
    """Their statistics are of the whole batch and their masks are its masks; the average follows."""
    shared = ("network.dropout=0.2", "routing.reuse_primary=false", "train.averaging=0.9", "train.weight_decay=0.1")
    recipe = residual_recipe(*RECIPE, *ONE_HAS_NONE, *shared)
    one, both = alone(tmp_path / "one", recipe), Run(tmp_path / "both")
    start(both.path, recipe=recipe)
    assert read_metrics(both.metrics)[-1]["step"] == 14
    first, second = load_file(one.last), load_file(both.last)
    assert first.keys() == second.keys()
    statistics = {name for name in first if "running_" in name or "num_batches" in name}
    assert len(statistics) == 2 * 5 * 3  # of the network and of its average
    # Adam makes a tiny gradient as long as any other: one device with two threads differs from itself by 4e-4.
    states = [name for name in first if name.startswith(("network.", "average."))]
    apart = {name: (first[name] - second[name]).abs().max().item() for name in states}
    assert {name: value for name, value in apart.items() if value > 1e-3} == {}
    fresh = begun(tmp_path / "fresh", recipe).network.state_dict()
    assert (first["network.stem.0.0.weight"] - fresh["stem.0.0.weight"]).abs().max() > 5e-3


def test_a_run_that_is_being_trained_is_refused_in_one_line_by_all_devices(tmp_path: Path) -> None:
    begun(tmp_path / "run", tiny_recipe(*RECIPE))
    with Run(tmp_path / "run").locked():
        words = command(tmp_path / "run", recipe=tiny_recipe(*RECIPE))
        done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False, env=environment())
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(f"is being trained by process {os.getpid()}")
    assert "this is a bug" not in done.stderr


def test_an_interrupted_run_of_two_processes_is_finished_by_one(tmp_path: Path) -> None:
    recipe = tiny_recipe(*RECIPE, "train.epochs=4", "routing.kind=l1", "routing.proximal=true")
    whole, parts = Run(tmp_path / "whole"), Run(tmp_path / "parts")
    interrupt(parts.path, recipe=recipe)
    assert parts.read_record().status == "training"
    alone(parts.path, recipe)
    alone(whole.path, recipe)
    rows = [[row["step"] for row in read_metrics(run.metrics)] for run in (whole, parts)]
    assert rows[0] == rows[1]
    b = {run: load_file(run.last)["network.routing.b"] for run in (whole, parts)}
    torch.testing.assert_close(b[parts], b[whole], rtol=0, atol=1e-4)


def test_more_devices_than_torchrun_started_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(WrongUse, match=r"--devices 3, and torchrun started 2 processes here: leave out --devices"):
        launch("cpu", devices=3)


FAILS = """
import os, sys
from capsedge.training import devices
devices._GRACE_S = 0.5
if "RANK" in os.environ:
    sys.exit(3)
devices.launch("cpu", devices=2)
"""


def test_a_device_that_fails_before_they_meet_ends_the_training_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "a script.py"
    script.write_text(FAILS)
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=100, check=False, env=environment()
    )
    assert done.returncode == 1
    assert done.stderr == "process 1 of the training ended with exit code 3, so the training ends\n"


ENDS = """
import atexit, os, signal, sys, time
from capsedge.cli.app import main
from capsedge.training import devices
from capsedge.training.trainer import Trainer

def killed(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def failed(*_, **__):  # it closes its connections before it has ended
    atexit.register(devices._leave)
    sys.exit(3)

if os.environ.get("RANK", "0") != "0":
    atexit.register(time.sleep, 1)
    WHERE = HOW
main()
"""
AGAIN, RESUME = "start it again with the same command", "resume with capsedge train --resume --run {} --devices 2"


@pytest.mark.parametrize(
    ("where", "how", "again"),
    [
        ("devices.Devices.told", "killed", AGAIN),
        ("devices.Devices.replicated", "failed", AGAIN),
        ("Trainer.train", "killed", RESUME),
    ],
)
def test_a_process_that_ends_before_the_first_step_ends_the_training_in_one_line(
    where: str, how: str, again: str, tmp_path: Path
) -> None:
    script = tmp_path / "ends.py"
    script.write_text(ENDS.replace("WHERE", where).replace("HOW", how))
    words = [sys.executable, str(script), *command(tmp_path / "run", recipe=tiny_recipe(*RECIPE))[3:]]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False, env=environment())
    assert done.returncode == 1
    expected = f"capsedge: another process of the training has ended: {again.format(tmp_path / 'run')}"
    assert done.stderr.splitlines()[-1] == expected


def test_a_process_of_torchrun_that_is_killed_leaves_no_other_with_a_bug(tmp_path: Path) -> None:
    script = tmp_path / "ends.py"
    script.write_text(ENDS.replace("WHERE", "Trainer.iterate").replace("HOW", "killed"))
    words = command(tmp_path / "run", recipe=tiny_recipe(*RECIPE), torchrun=True)
    words[words.index("-m", 2) : words.index("train")] = ["--", str(script)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=False, env=environment())
    assert done.returncode == 1
    # torchrun ends the other one itself, mostly after its line about the lost process.
    assert "this is a bug" not in done.stderr


def test_a_process_that_does_not_answer_ends_the_training_in_one_line() -> None:
    store = distributed.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1", 0, 2, is_master=True, wait_for_workers=False, timeout=timedelta(milliseconds=50)
    )
    with pytest.raises(ModelError, match="does not answer: start it again") as raised, reporting_lost_process():
        store.get("what the other process writes")
    assert raised.value.code == "process-lost"


def test_another_failure_of_a_process_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="must match"), reporting_lost_process():
        torch.zeros(2) + torch.zeros(3)


def test_a_process_that_is_killed_ends_the_training_in_one_line_that_tells_how_to_go_on(tmp_path: Path) -> None:
    """As the system does when memory runs out."""
    words = command(tmp_path / "run", recipe=tiny_recipe(*RECIPE, "train.epochs=50"))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=environment()) as process:
        while process.poll() is None and not (tmp_path / "run" / "last.safetensors").exists():
            time.sleep(0.05)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 1, said
    assert said.splitlines()[-1].startswith("capsedge: another process of the training has ended: resume with ")
    assert "this is a bug" not in said


def test_a_process_whose_first_is_killed_ends_too(tmp_path: Path) -> None:
    words = command(tmp_path / "run", recipe=tiny_recipe(*RECIPE, "train.epochs=50"))
    with subprocess.Popen(words, stderr=subprocess.PIPE, env=environment()) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text():  # before they have met
            time.sleep(0.05)
        child = Path("/proc", children.read_text().split()[0])
        process.kill()
    for _ in range(400):
        if not child.exists():
            return
        time.sleep(0.1)
    pytest.fail("it waits for ever")
