"""A stranger's text cannot steer the terminal, in a line or in a table."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

from capsedge.cli import console
from capsedge.cli.tables import Column, print_rows, print_table
from tests.cli.conftest import ROOT, as_a_user

HOSTILE = "bag\x1b[2J\x9b31m\u202egnp"
SHOWN = "bag\\x1b[2J\\x9b31m\\u202egnp"


def test_a_line_a_table_and_a_description_show_codes(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(f"note: {HOSTILE}")
    console.next_command("capsedge", "infer", HOSTILE)
    print_table([Column("class", [HOSTILE]), Column(HOSTILE, ["0.5"], numeric=True)])
    print_rows(HOSTILE, [("name", HOSTILE)])

    out, err = capsys.readouterr()
    assert out.replace("\n", " ").count(SHOWN) == 4
    assert err.count(SHOWN) == 2
    assert not {"\x1b", "\x9b", "\u202e"} & set(out)
    assert not {"\x9b", "\u202e"} & set(err)
    assert "\x1b[2J" not in err


def test_the_image_of_a_next_command_exists_or_is_the_users_to_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert console.example_image("fashion-mnist") == "YOUR_IMAGE"
    assert console.example_image("mnist") == "YOUR_IMAGE"
    assert console.example_image(str(tmp_path / "gone")) == "YOUR_IMAGE"
    for name in ("samples/bag.png", "my photos/cat/2.png", "my photos/cat/1.jpg", "photos.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name, format="PNG")
    assert console.example_image("fashion-mnist-subset") == "samples/bag.png"
    assert console.example_image("cifar-10") == "YOUR_IMAGE"
    assert console.example_image("") == "YOUR_IMAGE", "and not an image of the working folder"
    assert console.example_image(str(tmp_path / "my photos")) == "my photos/cat/1.jpg"
    assert console.example_image(str(tmp_path / "photos.csv")) == "YOUR_IMAGE"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert console.example_image(str(tmp_path / "my photos")) == str(tmp_path / "my photos/cat/1.jpg")


def test_images_in_a_folder_that_is_closed_are_the_users_to_name(tmp_path: Path) -> None:
    asking = "import sys; from capsedge.cli.console import example_image; print(example_image(sys.argv[1]))"
    (tmp_path / "closed" / "photos").mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    command = [*as_a_user(), sys.executable, "-c", asking, str(tmp_path / "closed" / "photos")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    (tmp_path / "closed").chmod(0o700)
    assert done.stdout == "YOUR_IMAGE\n", done.stderr


@pytest.mark.parametrize(
    ("words", "hidden", "extras"),
    [
        ("export runs/mine", ("onnxscript",), "export"),
        ("export runs/mine", ("onnxruntime",), "cpu"),
        ("export runs/mine", ("onnxscript", "onnxruntime"), "export,cpu"),
        ("bench", ("onnxruntime", "tensorrt_rtx", "tensorrt"), "cpu"),
        ("bench --provider openvino", ("onnxruntime", "tensorrt_rtx", "tensorrt"), ""),
        ("bench --provider openvino", ("openvino",), "openvino"),
    ],
)
def test_the_next_command_installs_all_that_it_lacks(
    words: str,
    hidden: tuple[str, ...],
    extras: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("onnxscript", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    for name in hidden:
        monkeypatch.setitem(sys.modules, name, None)
    console.next_command("capsedge", *words.split())

    told = capsys.readouterr().err
    assert told.endswith(f"capsedge {words}\n")
    assert (f"[{extras}]'" in told) if extras else (told == f"next: capsedge {words}\n")


def test_the_example_image_is_the_first_that_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a broken one.png").write_bytes(b"no image")
    Image.new("L", (28, 28)).save(tmp_path / "b.png")
    assert console.example_image(str(tmp_path)) == str(tmp_path / "b.png")
