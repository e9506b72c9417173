"""Runs: which folder is new, which is newest, and that its images are still the same."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from msgspec.structs import replace
from PIL import Image

from benchmarks.card.record import WEIGHTS
from capsedge.errors import DataError, ModelError, WrongUse
from capsedge.training import Run, new_run, newest_run
from tests.tiny import tiny_recipe, train_tiny


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_tiny(tmp_path_factory.mktemp("runs") / "a", tiny_recipe("train.epochs=1"))


def test_a_new_run_never_takes_a_folder_that_exists(tmp_path: Path) -> None:
    with new_run("x", tmp_path) as one, new_run("x", tmp_path) as two, new_run("x", tmp_path) as three:
        assert [run.path.name for run in (one, two, three)] == ["x", "x-2", "x-3"]


def test_a_new_run_that_nothing_was_put_into_goes_again(tmp_path: Path) -> None:
    with new_run("used", tmp_path / "runs") as run:
        (run.path / "file").write_text("x")
    with pytest.raises(ZeroDivisionError), new_run("unused", tmp_path / "runs"):
        raise ZeroDivisionError
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["used"]
    with new_run("unused", tmp_path / "other"):
        pass
    assert not (tmp_path / "other").exists()
    with new_run("unused", folder=tmp_path / "given"):
        assert (tmp_path / "given").is_dir()
    assert not (tmp_path / "given").exists()
    (tmp_path / "empty").mkdir()
    with new_run("unused", folder=tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()


def test_two_processes_cannot_train_in_one_folder(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    run = Run(tmp_path / "run")
    with run.locked(), pytest.raises(ModelError, match=f"is being trained by process {os.getpid()}$"), run.locked():
        pass
    with run.locked():  # free again
        pass


def test_a_lock_that_a_killed_process_left_does_not_hold(tmp_path: Path) -> None:
    holding = (
        "import sys, time; from pathlib import Path; from capsedge.training import Run\n"
        "with Run(Path(sys.argv[1])).locked(): print('held', flush=True); time.sleep(300)"
    )
    with subprocess.Popen([sys.executable, "-c", holding, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ModelError, match=f"is being trained by process {process.pid}$"), Run(tmp_path).locked():
            pass
        process.kill()
    assert (tmp_path / ".lock").exists(), "nobody tidied up"
    with Run(tmp_path).locked():
        pass


def test_to_ask_who_trains_a_run_refuses_no_training_and_is_no_training(tmp_path: Path) -> None:
    run, file = Run(tmp_path), tmp_path / ".lock"

    def asked_by_another() -> None:
        asking = FileLock(file, thread_local=False).acquire().lock
        threading.Timer(0.05, asking.release).start()

    assert (run.trained_by(), file.exists()) == ("", False)
    file.write_text("17 elsewhere")  # of a training that has ended
    asked_by_another()
    assert (run.trained_by(), file.read_text()) == ("", "17 elsewhere")
    asked_by_another()
    with run.locked():
        assert run.trained_by() == f"process {os.getpid()}"


def test_a_file_system_without_locks_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some network file systems are. A lock that is only a file would outlive a process that was killed."""
    fcntl = pytest.importorskip("fcntl")

    def refuse(file: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (
        pytest.raises(WrongUse, match=r"locked \(Function not implemented\): choose a writable folder"),
        Run(tmp_path).locked(),
    ):
        pass
    (tmp_path / ".lock").touch()
    assert Run(tmp_path).trained_by() is None


def test_the_newest_run_is_the_one_written_last(finished: Run, tmp_path: Path) -> None:
    for number, name in enumerate(("old", "new", "older")):
        shutil.copytree(finished.path, tmp_path / name)
        time = 1_000_000 + (5, 9, 1)[number]
        os.utime(tmp_path / name / "run.json", (time, time))
    assert newest_run(status=["finished"], root=tmp_path).path.name == "new"
    with pytest.raises(ModelError, match=r"there is no unfinished run in .*: all runs there are finished"):
        newest_run(status=["training"], root=tmp_path)


def test_a_damaged_record_is_one_error(finished: Run, tmp_path: Path) -> None:
    shutil.copytree(finished.path, tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text('{"status": "fin')
    with pytest.raises(ModelError, match=r"run\.json' is damaged"):
        Run(tmp_path / "run").read_record()
    (tmp_path / "run" / "recipe.toml").write_text("[network")
    with pytest.raises(ModelError, match=r"recipe\.toml' cannot be read"):
        Run(tmp_path / "run").read_recipe()


def test_a_run_of_an_earlier_capsedge_is_read_with_the_present_names(finished: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(finished.path, run.path)
    for name, present, former in (
        ("run.json", "dark_background", "dark_ground"), ("recipe.toml", "learning_rate", "rate"),
    ):  # fmt: skip
        text = (run.path / name).read_text()
        assert present in text
        (run.path / name).write_text(text.replace(present, former))
    assert run.read_record() == finished.read_record()
    assert run.read_recipe() == finished.read_recipe()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("training", "run '{run}' has no finished epoch yet: continue it with capsedge train --resume"),
        ("finished", "run '{run}' is finished, and its best.safetensors is missing: restore it, or train again"),
        (
            "zoo",
            "'{run}' is not a run but a folder of the zoo, with weights.safetensors in place of best.safetensors: "
            "make a run from it with python -m benchmarks.card.weights '{run}' runs/tiny in a checkout of capsedge, "
            "and give that run",
        ),
    ],
)
def test_a_run_without_its_best_weights_says_what_it_is(
    change: str, words: str, finished: Run, tmp_path: Path
) -> None:
    run = Run(shutil.copytree(finished.path, tmp_path / "my runs" / "tiny"))
    run.best.unlink()
    if change == "training":
        run.write_record(replace(run.read_record(), status="training"))
    elif change == "zoo":
        (run.path / WEIGHTS).touch()
    with pytest.raises(ModelError) as error:
        run.load_best()
    assert str(error.value) == words.format(run=run.path)


def test_images_that_changed_since_the_training_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_pets(tmp_path / "pets")
    monkeypatch.chdir(tmp_path)
    run = train_tiny(tmp_path / "run", tiny_recipe("data.source=pets", "train.epochs=1"))
    monkeypatch.chdir("/")  # the folder is found again from anywhere
    assert len(run.load_dataset().test) == 24
    cats, dogs = (tmp_path / "pets" / "train" / name / "3.png" for name in ("cat", "dog"))
    cats.write_bytes(dogs.read_bytes())  # as many images as before, of the same size
    with pytest.raises(
        DataError,
        match=r"was trained on pets: .* and '.*pets' now holds other images \(pets: .*restore the former images",
    ):
        run.load_dataset()


def test_images_that_are_gone_are_told_as_the_runs_own(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(shutil.copytree(finished.path, tmp_path / "run"))
    monkeypatch.setenv("CAPSEDGE_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    for source, words in (
        ("/nowhere/x", "there is no file or folder '/nowhere/x'"),
        (str(tmp_path), "has no images"),
    ):
        run.write_record(replace(run.read_record(), data_source=source))
        wanted = (
            rf"^run '{run.path}' was trained on Fashion-MNIST.*, and its data '{source}' cannot be loaded: .*{words}"
        )
        with pytest.raises(DataError, match=wanted) as error:
            run.load_dataset()
        assert "\n" not in str(error.value)


def test_a_folder_with_the_name_of_a_known_data_set_is_recorded_as_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_pets(tmp_path / "mnist")
    monkeypatch.chdir(tmp_path)
    run = train_tiny(tmp_path / "run", tiny_recipe("data.source=./mnist", "train.epochs=1"))
    monkeypatch.chdir("/")
    assert run.read_record().data_source == str((tmp_path / "mnist").resolve())
    assert run.load_dataset().classes == ("cat", "dog")


def draw_pets(folder: Path) -> None:
    """A data set of plain images, 17 pixels wide, the smallest that the kernels take."""
    for part, name, number in [(p, n, k) for p in ("train", "test") for n in ("cat", "dog") for k in range(12)]:
        file = folder / part / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((17, 17), number * 9 + ord(name[0]), np.uint8)).save(file)
