"""README.md: its length, its links, its figures, and that its commands and its code run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.in_process import in_this_process
from tests.test_own_images_page import commands, photographs

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_it_is_read_in_a_minute() -> None:
    assert len(TEXT.splitlines()) <= 130


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)
    assert len(links) > 20
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_every_page_says_what_its_plus_minus_is() -> None:
    """A standard error, a standard deviation over seeds and a 95 % interval differ by factors of 2 and more."""
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("zoo/*/card.md")]
    told = [page for page in pages if "±" in page.read_text(encoding="utf-8")]
    assert len(told) > 8
    meaning = re.compile(r"± (is |one |the |their |sample )*(1\.96 )?standard (error|deviation)")
    assert [page.name for page in told if not meaning.search(" ".join(page.read_text("utf-8").split()))] == []


def test_its_figures_are_those_of_the_pages() -> None:
    results, edge = ((ROOT / "docs" / page).read_text(encoding="utf-8") for page in ("results.md", "edge.md"))
    row = next(line for line in edge.splitlines() if line.startswith("| [edge-small]")).split("|")
    table_i = [line.split("|") for line in results.splitlines() if line.startswith("| Table I, 1 thread")]
    collapsed, int8 = (cells[4].split()[0] for cells in table_i[1:])

    assert f"**{row[7].strip()}** on Fashion-MNIST by the built-in model: int8, {row[2].strip()} parameters" in TEXT
    assert f"{row[3].strip()} million products" in TEXT
    assert f"**{collapsed}** of the latency of dynamic routing" in TEXT
    assert f"**{int8}** in int8" in TEXT
    assert "18.5 ms become 0.085 ms, a factor of 218." in results
    assert "**0.085 ms**" in TEXT


def test_its_commands_lead_from_photographs_to_a_measurement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photographs(tmp_path, 80)  # int8 is calibrated on at least 100 training images
    monkeypatch.chdir(tmp_path)
    capsedge = in_this_process(capsys, monkeypatch)
    short = {"train": ["--set", "train.epochs=2"], "bench": ["--quick"]}
    told = commands("README.md")
    assert [words[0] for words in told] == ["train", "export", "eval", "infer", "bench"]
    for words in told:
        done = capsedge(*words, *short.get(words[0], []))
        assert done.returncode == 0, (words, done.stderr)
    assert "runs/" in done.stdout + done.stderr  # the newest export, not the built-in model


def test_its_code_runs() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ankle-boot 0.")
