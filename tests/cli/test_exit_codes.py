"""The exit codes that docs/exit-codes.md tells, in an empty folder with one damaged file."""

import re
import shlex
from pathlib import Path

import pytest

from capsedge.cli.app import COMMANDS
from tests.cli.conftest import ROOT
from tests.in_process import Capsedge, in_this_process

capsedge = pytest.fixture(in_this_process)
PAGE = (ROOT / "docs" / "exit-codes.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `capsedge (.+?)` \| (\d) \|", PAGE, re.MULTILINE)


def test_every_command_has_a_row() -> None:
    assert {words.split()[0] for words, _ in ROWS} >= {*COMMANDS}


@pytest.mark.parametrize(("words", "code"), ROWS)
def test_a_mistake_ends_with_its_code_in_one_line_and_leaves_nothing(
    words: str, code: str, capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged.onnx").write_text("no model")
    done = capsedge(*shlex.split(words))

    assert (done.returncode, done.stdout) == (int(code), "")
    (line,) = (line for line in done.stderr.splitlines() if not line.startswith("model: "))
    assert line.startswith("capsedge: ")
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.onnx"]
