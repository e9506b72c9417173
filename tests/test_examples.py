"""examples/: each script runs as its README says, and answers as capsedge does; the Jetson's commands exist."""

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from capsedge.data import decode_image, fit_image
from capsedge.fit import Fit
from tests.in_process import in_this_process

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
SAMPLES = sorted((ROOT / "samples").glob("*.png"))
BESIDE = {"README.md", "package.json", "package-lock.json", "node_modules", "__pycache__"}  # no examples
BUILTIN = ROOT / "capsedge" / "builtin" / "fashion-mnist.onnx"
WITHOUT_CAPSEDGE = """
import runpy, sys
sys.modules |= dict.fromkeys(("capsedge", "torch", "onnx"))  # their import fails
sys.argv.pop(0)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def python(*arguments: str | Path, folder: Path = ROOT) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def commands() -> dict[str, list[str]]:
    """The arguments that examples/README.md gives to each script."""
    rows = re.findall(r"\[(\S+)\]\(\1\).*`python (examples/[^\s`]+)([^`]*)`", (EXAMPLES / "README.md").read_text())
    assert all(script == f"examples/{name}" for name, script, _ in rows)
    return {name: shlex.split(rest) for name, _, rest in rows}


def blocks(heading: str) -> list[list[str]]:
    """The commands below a heading of the Jetson's checklist."""
    text = (
        (EXAMPLES / "jetson.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    )
    return [shlex.split(line)[1:] for line in re.findall(r"^ {6}(capsedge .*)$", text, re.MULTILINE)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder that own_images.py wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("own")
    said = python(EXAMPLES / "own_images.py", *commands()["own_images.py"], "--epochs", "5", folder=folder)
    (output,) = folder.iterdir()
    return output, said


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Images that have to be decoded and fitted: wide, high, in colour, transparent, with a palette, lying."""
    folder, random = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)

    def noise(*shape: int) -> Image.Image:
        return Image.fromarray(random.integers(0, 256, shape, np.uint8)).resize((shape[1] * 5, shape[0] * 5))

    lying = Image.Exif()
    lying[274] = 6  # turned by 90 degrees
    noise(9, 16, 3).save(folder / "wide.png")
    noise(16, 9).save(folder / "high.png")
    noise(12, 9, 4).save(folder / "transparent.png")
    noise(9, 12, 3).quantize(16).save(folder / "palette.gif")
    noise(9, 14, 3).save(folder / "lying.jpg", exif=lying)
    return sorted(folder.iterdir())


def test_the_table_names_every_example() -> None:
    named = re.findall(r"^\| \[(\S+)\]\(\1\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    files = {path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.*") if not BESIDE & set(path.parts)}
    assert sorted(named) == sorted(path.as_posix() for path in files)


def test_python_inference_names_the_samples() -> None:
    said = python(EXAMPLES / "python_inference.py", *commands()["python_inference.py"])
    named = dict(re.findall(r"^samples/(\S+)-\d+\.png: (\S+), length", said, re.MULTILINE))
    assert len(named) == len(SAMPLES)
    right = sum(name == answer for name, answer in named.items())  # the files are named for their true classes
    assert right >= 9
    assert said.splitlines()[-1].startswith("10 of 10 images")


def test_plain_onnxruntime_answers_as_capsedge_infer(pictures: list[Path]) -> None:
    assert commands()["plain_onnxruntime.py"][0] == BUILTIN.relative_to(ROOT).as_posix()
    images = [*SAMPLES, *pictures]
    golden, *rows = python("-c", WITHOUT_CAPSEDGE, EXAMPLES / "plain_onnxruntime.py", BUILTIN, *images).splitlines()
    asked = python("-m", "capsedge", "infer", "--model", BUILTIN, "--invert", "no", "--json", *images)
    expected = [json.loads(line) for line in asked.splitlines()]
    assert golden.startswith("golden sample: largest difference ")
    assert float(golden.split()[4].rstrip(",")) < 1e-3
    for row, one in zip(rows, expected, strict=True):
        path, answer = row.split("\t")
        name, length = answer.split()
        assert (path, name) == (one["path"], one["class"])
        assert float(length) == pytest.approx(one["length"], abs=1e-5)


@pytest.mark.parametrize("frame", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_plain_onnxruntime_fits_images_as_capsedge_does(frame: Any, channels: int, pictures: list[Path]) -> None:
    plain = runpy.run_path(str(EXAMPLES / "plain_onnxruntime.py"))
    contract = {
        "input": {"height": 20, "width": 28, "channels": channels},
        "fit": {"frame": frame, "resize": "bilinear"},
    }
    for path in pictures:
        with Image.open(path) as image:
            pixels = plain["fitted"](plain["decoded"](image), contract)
        np.testing.assert_array_equal(pixels, fit_image(decode_image(path), (20, 28, channels), Fit(frame=frame)))


def test_own_images_trains_exports_and_classifies(trained: tuple[Path, str]) -> None:
    folder, said = trained
    assert len(list((folder / "photos").glob("*/*.png"))) == 120
    assert (folder / "runs/edge-nano/model.onnx").is_file()
    assert re.findall(r"^(?:validation|test) error: \d+\.\d\d% of \d+ images$", said, re.MULTILINE)
    answers = re.findall(r"^own-images/new/(\S+)\.png: (\S+), length", said, re.MULTILINE)
    # Far more than chance after five epochs; one of the three may be wrong on another processor.
    assert len(answers) == 3
    assert sum(name == answer for name, answer in answers) >= 2


def test_the_checklist_for_a_jetson_gives_commands_that_exist(
    trained: tuple[Path, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    capsedge = in_this_process(capsys, monkeypatch)
    monkeypatch.chdir(trained[0])
    workstation, before, board = map(
        blocks, ("On the workstation", "On the board, before the first run", "On the board")
    )
    assert (len(workstation), len(before), len(board)) == (2, 1, 7)
    for words in workstation:
        done = capsedge(*words)
        assert done.returncode == 0, (words, done.stderr)
    for words in [*before, *board]:
        done = capsedge(*words)
        assert done.returncode != 2, (words, done.stderr)  # here most of them lack a GPU or the engine
