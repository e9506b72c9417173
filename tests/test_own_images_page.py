"""docs/own-images.md: every command of it runs, in its order, on a folder as the page has it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cli.conftest import ROOT


def commands(page: str) -> list[list[str]]:
    """What the page's blocks run."""
    blocks = re.findall(r"```(?:shell)?\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("capsedge ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def photographs(folder: Path, each: int) -> None:
    """A data set of two classes in photos/, as the page has it, with so many images of each."""
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        for number in range(each):
            place = folder / "photos" / name / ("holiday", "garden", "sofa", "park", "train")[number % 5]
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 90, (20, 24, 3), np.uint8)
            pixels[5:15, 4 + 8 * label : 12 + 8 * label] += 150
            Image.fromarray(pixels).save(place / f"{number}.jpg", quality=95)


def ran(words: list[str], folder: Path, epochs: int) -> subprocess.CompletedProcess[str]:
    """A command of a page, whose training takes a minute there, and so many epochs here."""
    short = ["--set", f"train.epochs={epochs}", "--log", "tensorboard"] if words[0] == "train" else []
    done = subprocess.run(
        [sys.executable, "-m", "capsedge", *words, *short], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (words, done.stderr)
    return done


def test_the_page_leads_from_a_folder_to_a_page_of_results(tmp_path: Path) -> None:
    photographs(tmp_path, 30)
    told = commands("docs/own-images.md")
    assert [words[0] for words in told] == ["data", "data", "train", "export", "eval", "show", "infer"]
    for words in told:
        done = ran(words, tmp_path, epochs=20)
    assert (tmp_path / "sheet.png").is_file()
    assert "of the answers are wrong</h1>" in (tmp_path / "errors.html").read_text(encoding="utf-8")
    whole = (tmp_path / "run.html").read_text(encoding="utf-8")
    for heading in ("Curve", "Training images", "Confusion matrix", "Recipe"):
        assert f"<h2>{heading}</h2>" in whole
    assert list((tmp_path / "runs" / "edge-small" / "tensorboard").glob("events.out.tfevents.*"))
    assert (tmp_path / "runs" / "edge-small" / "model.onnx").is_file()
    assert "the newest export in runs" in done.stderr
