"""docs/own-images.md: every command of it runs, in its order, on a folder as the page has it."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.cli.conftest import ROOT


def commands() -> list[list[str]]:
    """What the page's blocks run."""
    text = (ROOT / "docs" / "own-images.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("capsedge ")]
    return [shlex.split(line)[1:] for line in lines]


def test_the_page_leads_from_a_folder_to_a_page_of_results(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for label, name in enumerate(("cat", "dog")):
        for number in range(30):
            place = tmp_path / "photos" / name / ("holiday", "garden", "sofa", "park", "train")[number % 5]
            place.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 90, (20, 24, 3), np.uint8)
            pixels[5:15, 4 + 8 * label : 12 + 8 * label] += 150
            Image.fromarray(pixels).save(place / f"{number}.jpg", quality=95)
    told = commands()
    assert [words[0] for words in told] == ["data", "data", "train", "export", "eval", "show", "infer"]
    for words in told:
        # The page's training takes a minute; here it is 40 steps.
        short = ["--set", "train.epochs=20", "--log", "tensorboard"] if words[0] == "train" else []
        done = subprocess.run(
            [sys.executable, "-m", "capsedge", *words, *short],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
    assert (tmp_path / "seen.png").is_file()
    assert "of the answers are wrong</h1>" in (tmp_path / "errors.html").read_text(encoding="utf-8")
    whole = (tmp_path / "run.html").read_text(encoding="utf-8")
    for heading in ("Curve", "Training images", "What is taken for what", "Recipe"):
        assert f"<h2>{heading}</h2>" in whole
    assert list((tmp_path / "runs" / "edge-small" / "tensorboard").glob("events.out.tfevents.*"))
    assert (tmp_path / "runs" / "edge-small" / "model.onnx").is_file()
    assert "the newest export in runs" in done.stderr
