"""`capsedge show`: a run at a glance, and as a page."""

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from capsedge.export import export_run
from capsedge.training import Run
from capsedge.training.metrics import read_metrics
from tests.in_process import Capsedge, in_this_process
from tests.tiny import tiny_recipe, train_tiny

capsedge = pytest.fixture(in_this_process)


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two epochs, with its export."""
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", tiny_recipe("train.epochs=2"))
    export_run(run)
    return run


def test_a_run_is_told_with_its_curve_and_its_scores(capsedge: Capsedge, exported_once: Run) -> None:
    done = capsedge("show", str(exported_once.path))
    assert done.returncode == 0, done.stderr
    record = exported_once.read_record()
    for score in record.scores:
        assert f"{score.split} error: {100 * score.error:.2f} % on {score.images:,} images" in done.stdout
    last = [row for row in read_metrics(exported_once.metrics) if row["kind"] == "validation"][-1]
    assert f"{100 * last['error']:.1f} % ({last['epoch']})" in done.stdout
    assert "exported: model.onnx" in done.stdout
    assert done.stderr.startswith("next: capsedge export ")
    assert json.loads(capsedge("show", str(exported_once.path), "--json").stdout)["best_epoch"] == record.best_epoch


def test_the_page_has_the_curve_the_recipe_and_the_errors_of_the_export(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    done = capsedge("show", str(exported_once.path), "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    HTMLParser().feed(text)
    test = exported_once.read_record().scores[1]
    for said in ("<polyline", "[routing]", f"{100 * test.error:.2f} % of the answers are wrong", "data:image/png"):
        assert said in text


def test_an_unfinished_run_has_no_scores_and_goes_on(capsedge: Capsedge, exported_once: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    shutil.copytree(exported_once.path, folder, ignore=shutil.ignore_patterns("model*", "metrics*"))
    values = json.loads((folder / "run.json").read_text()) | {"status": "training", "scores": [], "best_epoch": 0}
    (folder / "run.json").write_text(json.dumps(values))
    done = capsedge("show", str(folder), "--html", str(tmp_path / "run.html"))
    assert done.returncode == 0, done.stderr
    assert "error:" not in done.stdout
    assert done.stderr.endswith(f"next: capsedge train --resume --run '{folder}'\n")
    assert "not finished" in (tmp_path / "run.html").read_text()


def test_wrong_use_is_one_line(capsedge: Capsedge, exported_once: Run, tmp_path: Path) -> None:
    nothing = capsedge("show", str(tmp_path))
    assert (nothing.returncode, nothing.stderr.count("\n")) == (1, 1)
    assert "is not a run: it has no run.json" in nothing.stderr
    wrong = capsedge("show", str(exported_once.path), "--html", "x.txt")
    assert (wrong.returncode, wrong.stderr) == (2, "capsedge: 'x.txt' wants a name that ends in .html\n")
