"""Files and folders that exist and cannot be read: told as such, with the code of those that are missing."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import ROOT, as_a_user, in_a_shell


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder, as of a run: it has a file of each kind, and a folder, that nobody may read."""
    monkeypatch.chdir(tmp_path)
    names = ("image.png", "model.onnx", "run.json", "recipe.toml", "report.json", "list.csv", "images.txt")
    for name in names:
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0)
    (tmp_path / "folder").mkdir(mode=0)
    yield tmp_path
    (tmp_path / "folder").chmod(0o700)


COMMANDS = (
    "infer image.png",
    "infer folder",
    "infer --list images.txt",
    "inspect model.onnx",
    "verify model.onnx",
    "bench model.onnx",
    "bench --from report.json",
    "bench --baseline report.json",
    "profile model.onnx",
    "lint model.onnx",
    "gate model.onnx",
    "recipe recipe.toml",
    "train recipe.toml",
    "train --resume --run folder",
    "show folder",
    "export folder",
    "compress folder --keep 0.5",
    "data folder",
    "data list.csv",
    "eval --data folder",
    "reproduce fig1 image.png",
)
# Runs the commands that are its arguments one after the other, so that torch is loaded once.
SCRIPT = """
import sys
from capsedge.cli import main
for words in sys.argv[1:]:
    sys.argv = ["capsedge", *words.split()]
    try:
        main()
    except SystemExit as stop:
        print(words, stop.code, sep=": ", file=sys.stderr, flush=True)
"""


@pytest.mark.usefixtures("closed")
def test_what_cannot_be_read_fails_as_what_is_missing_and_is_no_wrong_use() -> None:
    done = subprocess.run(
        [*as_a_user(), sys.executable, "-c", SCRIPT, *COMMANDS],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"CAPSEDGE_DEBUG": "", "PYTHONPATH": str(ROOT)},
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("model: ")]
    lines.remove("the folder 'folder' cannot be read: Permission denied")  # of infer, beside its error
    assert lines[1::2] == [f"{words}: 1" for words in COMMANDS]
    for line in lines[::2]:
        assert re.fullmatch("capsedge: .*(permission denied|cannot be read|could not be read).*", line, re.I), line


def test_an_unreadable_class_is_not_called_empty(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("cat", "dog", "eel", "fox", "gnu"):
        (tmp_path / name).mkdir()
        for number in range(3 if name != "gnu" else 0):
            pixels = random.integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{number}.png")
    (tmp_path / "eel").chmod(0)
    (tmp_path / "fox" / "young").mkdir()
    (tmp_path / "fox").chmod(0o600)  # its names can be listed, and none of its files opened

    done = in_a_shell("data", str(tmp_path), before=as_a_user(), COLUMNS="300")

    for name in ("eel", "fox"):
        (tmp_path / name).chmod(0o700)
    assert done.returncode == 0, done.stderr
    notes = [line for line in done.stdout.splitlines() if line.startswith("note: ")]
    assert "note: 2 folders ('eel', 'fox') cannot be read: check the permissions" in notes
    assert [note for note in notes if "no images" in note] == [
        f"note: class folder '{tmp_path / 'gnu'}' has no images and is skipped"
    ]


@pytest.fixture
def unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Make an output in the working folder that exists, and that its owner may write and not read."""
    monkeypatch.chdir(tmp_path)

    def made(name: str) -> Path:
        Path(name).touch()
        Path(name).chmod(0o200)
        return Path(name)

    return made


def test_an_output_that_may_be_written_and_not_read_is_replaced(unreadable: Callable[[str], Path]) -> None:
    for name in ("cat", "dog"):
        Path("photos", name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (8, 8), 40 * number).save(Path("photos", name, f"{number}.png"))
    sheet = unreadable("sheet.png")
    done = in_a_shell("data", "photos", "--sheet", str(sheet), before=as_a_user())
    assert done.returncode == 0, done.stderr
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_a_report_that_may_hold_a_measurement_and_cannot_be_read_is_refused(
    unreadable: Callable[[str], Path],
) -> None:
    report = unreadable("r.json")
    done = in_a_shell("bench", "builtin", "--iterations", "1", "--output", str(report), before=as_a_user())
    line = done.stderr.splitlines()[-1]
    assert (done.returncode, report.stat().st_size) == (2, 0)
    assert line == "capsedge: the report 'r.json' cannot be read: Permission denied: choose another --output"
