"""`capsedge reproduce` as a person types it, in an empty folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import one_line
from tests.in_process import Capsedge, in_this_process
from tests.reproduce.conftest import TINY

ROOT = Path(__file__).parents[2]
SMALL = ["--data", "fashion-mnist-subset", "--width", "small", *(word for each in TINY for word in ("--set", each))]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "capsedge", "reproduce", *arguments]


def environment(folder: Path) -> dict[str, str]:
    """What differs from the environment of the tests."""
    data = str(folder / "data")
    return {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "CAPSEDGE_DEBUG": "", "CAPSEDGE_DATA": data}


@pytest.fixture
def reproduce(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Capsedge:
    """The command in this process and in an empty folder; a process of its own would spend its time on torch."""
    monkeypatch.chdir(tmp_path)
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    capsedge = in_this_process(capsys, monkeypatch)
    return lambda *arguments: capsedge("reproduce", *arguments)


def test_a_killed_table_goes_on_and_trains_nothing_twice(tmp_path: Path, reproduce: Capsedge) -> None:
    """SIGKILL in the second of two trainings: no handler runs, only what lies on the disk is left."""
    only = ["--only", "*/l2-fc", "--only", "*/l1-fc"]
    arguments = ["table2", *SMALL, "--epochs", "12", *only]
    process = subprocess.Popen(
        command(*arguments), cwd=tmp_path, stderr=subprocess.DEVNULL, env=os.environ | environment(tmp_path)
    )
    first, second = (
        tmp_path / f"runs/paper-fashion-mnist-subset-{kind}-fc-small-epochs12-seed0" for kind in ("l2", "l1")
    )
    deadline = time.monotonic() + 120
    while not (second / "last.safetensors").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    assert msgspec.json.decode((second / "run.json").read_bytes())["status"] == "training"
    untouched = {path.name: path.read_bytes() for path in first.iterdir()}

    again = reproduce(*arguments, "--json")
    assert again.returncode == 0, again.stderr
    table = msgspec.json.decode(again.stdout)
    assert [(row["method"], row["status"]) for row in table["rows"]] == [("L2/FC", "measured"), ("L1/FC", "measured")]
    assert {path.name: path.read_bytes() for path in first.iterdir()} == untouched
    assert table == msgspec.json.decode((tmp_path / "reproduced" / "table2.json").read_bytes())

    third = reproduce(*arguments)
    assert third.returncode == 0
    assert "epoch" not in third.stderr.replace("epochs", "")  # nothing was trained
    assert "L2/FC" in third.stdout
    assert "wrote reproduced/table2.json" in third.stderr


def test_ctrl_c_says_that_the_same_command_resumes(tmp_path: Path) -> None:
    arguments = command("fig3", *SMALL, "--kind", "l2", "--epochs", "400")
    process = subprocess.Popen(
        arguments, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=os.environ | environment(tmp_path)
    )
    metrics = tmp_path / "runs" / "paper-fashion-mnist-subset-l2-fc-small-epochs400-seed0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("capsedge: interrupted at step")
    assert said.splitlines()[-1].endswith(": run the same command again to resume")


def test_the_table_shows_measured_beside_published_and_marks_what_differs(reproduce: Capsedge) -> None:
    result = reproduce("table2", *SMALL, "--epochs", "1", "--only", "*/l2-fc", "--seed", "0", "--seed", "1")
    assert result.returncode == 0, result.stderr
    (row,) = [line for line in result.stdout.splitlines() if "L2/FC" in line]
    assert row.split()[:3] == ["fashion-mnist-subset", "L2/FC", "-"]
    assert row.split()[-4:] == ["2", "1", "of", "10"]
    assert "±" in row
    assert "shortened" in result.stderr
    assert "network.filters=4" in result.stderr
    assert "training runs/paper-fashion-mnist-subset-l2-fc-small-epochs1-seed1 (2 of 2)" in result.stderr
    assert result.stderr.count("precision: fp32\n") == 1  # of both trainings


def test_missing_data_is_a_row_and_not_a_failure(tmp_path: Path, reproduce: Capsedge) -> None:
    for name in ("cifar-10", "mnist"):  # empty, and found before any that this machine may have
        (tmp_path / "data" / name).mkdir(parents=True)
    result = reproduce("table2", "--only", "cifar-10/dr", "--only", "multi-mnist")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("no data") == 4
    assert "15.30" in result.stdout
    assert "7.54*" in result.stdout
    assert "does not say whether it is L2 or L1" in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("no data: ")]
    assert [line.split(": ")[1] for line in lines] == ["CIFAR-10", "MultiMNIST"]
    assert all(str(tmp_path / "data") in line for line in lines)


@pytest.mark.parametrize("data", ["cifar-10", "photos/shoes"])
def test_data_that_was_asked_for_and_is_missing_is_a_failure(data: str, tmp_path: Path, reproduce: Capsedge) -> None:
    (tmp_path / "data" / "cifar-10").mkdir(parents=True)
    result = reproduce("table2", "--data", data)
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert data in result.stderr


def test_a_figure_is_drawn_and_drawn_again(tmp_path: Path, reproduce: Capsedge) -> None:
    result = reproduce("fig1", str(ROOT / "samples" / "bag-1081.png"), "--out", "mine")
    assert result.returncode == 0, result.stderr
    assert "wrote mine/fig1.png, drawn from mine/fig1.json" in result.stderr
    assert "bag" in result.stdout
    png = tmp_path / "mine" / "fig1.png"
    drawn = png.read_bytes()
    png.unlink()
    again = reproduce("fig1", "--redraw", "--out", "mine", "--json")
    assert again.returncode == 0, again.stderr
    assert png.read_bytes() == drawn
    assert msgspec.json.decode(again.stdout) == msgspec.json.decode((tmp_path / "mine" / "fig1.json").read_bytes())


MISTAKES = [
    (["fig3", "--only", "mnist"], "unknown option '--only'"),
    (["fig4", "--epochs", "2"], "'--epochs': a recipe's values are given as --set train.epochs=VALUE"),
    (["fig3", "--redraw", "--epochs", "2"], "leave out --epochs"),
    (["fig3", "--kind", "l3"], "--kind: expected dynamic, l2, l1, frozen"),
    (["fig3", "--seed", "1", "--seed", "1"], "--seed: expected one or more different seeds, got 1, 1"),
    (["fig3", "--seed", "-1"], "train.seed"),
    (["fig3", "--set", "train.epoch=3"], "no key 'train.epoch': did you mean 'train.epochs'?"),
    (["fig3", "--set", "train.epochs=3"], "--set train.epochs has no effect here: it is set by --epochs"),
    (["fig2", "--seed", "0", "--seed", "1"], "--seed: expected one seed, got 2"),
    (["table2", "--data", "fashion-mnsit"], "did you mean 'fashion-mnist'?"),
    (["table2", "--only", "mnist/em"], "--only 'mnist/em' matches no row: there are: mnist/dr"),
    (["fig1", "--model", "gone"], "there is no file and no model 'gone'"),
]


@pytest.mark.parametrize(("arguments", "words"), MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing_behind(
    arguments: list[str], words: str, tmp_path: Path, reproduce: Capsedge
) -> None:
    assert words in one_line(reproduce(*arguments), 2)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_matplotlib_is_told_of_before_anything_is_trained(tmp_path: Path) -> None:
    code = "import sys; sys.modules['matplotlib'] = None; from capsedge.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code, "reproduce", "fig3", *SMALL],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | environment(tmp_path),
    )
    assert "'matplotlib', which is not installed: pip install 'capsedge[paper]'" in one_line(result, 1)
    assert list(tmp_path.iterdir()) == []
