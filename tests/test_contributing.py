"""CONTRIBUTING.md: its layers are those that import-linter checks, and the files that it names are there."""

import re
import tomllib

from tests.cli.conftest import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_layers_are_those_that_import_linter_checks() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    checked = next(each["layers"] for each in contracts if each["type"] == "layers")
    named = [row.replace("\\|", "|") for row in re.findall(r"^\| `(capsedge\.[^`]+)` \|", PAGE, re.MULTILINE)]
    assert len(named) > 6
    assert named == [layer for layer in checked if layer in named]


def test_the_files_that_it_names_are_there() -> None:
    named = re.findall(r"[`(]((?:capsedge|docs|tests|scripts|benchmarks|\.ci)/[\w./-]*)[`)]", PAGE)
    assert len(named) > 30
    assert not [path for path in named if not (ROOT / path).exists()]


def test_the_symbols_of_its_tables_are_in_the_files() -> None:
    rows = re.findall(r"^\| `([\w/]+\.py)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 10
    for file, change in rows:
        text = (ROOT / file).read_text(encoding="utf-8")
        names = re.findall(r"`(_?[A-Za-z]\w*)`", change)
        assert [name for name in names if not re.search(rf"\b{name}\b", text)] == [], file
