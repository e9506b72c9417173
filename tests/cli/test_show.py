"""`capsedge show`: a run at a glance, and as a page."""

import json
import os
import re
import shutil
from base64 import b64decode
from collections import defaultdict
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from capsedge.data import load_dataset
from capsedge.export import export_run
from capsedge.runtime.open import open_session
from capsedge.training import Run, Trainer
from capsedge.training.metrics import read_metrics
from tests.cli.conftest import ROOT, one_line
from tests.in_process import Capsedge, in_this_process
from tests.tiny import tiny_recipe, train_tiny

capsedge = pytest.fixture(in_this_process)


class Pictures(HTMLParser):
    """Reads a page's images and their captions by the heading that they stand under."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.under: dict[str, list[tuple[NDArray[np.uint8], str]]] = defaultdict(list)
        self.text, self.heading, self.drawn = "", "", b""
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src")
        if tag == "img" and source:
            self.drawn = b64decode(source.removeprefix("data:image/png;base64,"))
        if tag in ("h2", "figcaption"):
            self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "h2":
            self.heading = self.text
        elif tag == "figcaption" and self.drawn:
            self.under[self.heading].append((np.array(Image.open(BytesIO(self.drawn))), self.text))


@pytest.fixture(scope="module")
def exported_once(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of two epochs, with its export."""
    recipe = tiny_recipe("train.epochs=2", "train.batch_size=16", "data.erase=0.5", "data.standardize=true")
    run = train_tiny(tmp_path_factory.mktemp("runs") / "tiny", recipe)
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
    assert done.stderr == f"next: capsedge eval {exported_once.path}\n"


def test_json_has_what_the_text_shows(capsedge: Capsedge, exported_once: Run) -> None:
    told = json.loads(capsedge("show", str(exported_once.path), "--json").stdout)
    record, train = exported_once.read_record(), exported_once.read_recipe().train
    text = capsedge("show", str(exported_once.path)).stdout
    assert (told["best_epoch"], told["seconds"]) == (record.best_epoch, record.seconds)
    assert f"in {told['precision']}\n" in text
    assert f"recipe: {told['recipe']}, {told['epochs']} epochs, batches of {told['batch_size']}\n" in text
    assert (told["epochs"], told["batch_size"], told["precision"]) == (2, 16, train.precision)
    curve = ", ".join(f"{100 * row['error']:.1f} % ({row['epoch']})" for row in told["curve"])
    assert f"curve:  {curve} of the validation images" in text
    assert told["exports"] == [{"file": str(exported_once.path / "model.onnx"), "older": False}]


def test_the_page_has_the_curve_the_recipe_and_the_errors_of_the_export(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    done = capsedge("show", str(exported_once.path), "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    HTMLParser().feed(text)
    test = exported_once.read_record().scores[1]
    rows = read_metrics(exported_once.metrics)
    highest = max(100 * row["error"] for row in rows)
    (curve,) = re.findall(r'<figure class="card">.*?</figure>', text.split("<h2>Curve</h2>")[1].split("<h2>")[0])
    *_, top = (float(mark) for mark in re.findall(r'text-anchor="end">([0-9.]+)<', curve))
    assert highest <= top <= 2.5 * highest
    last = [row for row in rows if row["kind"] == "validation"][-1]
    assert f'540.0,{210 - 200 * 100 * last["error"] / top:.1f}"' in curve
    assert "in percent" in curve
    for said in ("<polyline", "[routing]", f"{100 * test.error:.2f} % of the answers are wrong", "data:image/png"):
        assert said in text


def test_the_page_shows_training_images_as_the_network_got_them(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    assert capsedge("show", str(exported_once.path), "--html", str(page)).returncode == 0
    shown = Pictures(page).under["Training images"]
    data = load_dataset("fashion-mnist-subset")
    trainer = Trainer(exported_once.read_recipe(), data, Run(tmp_path / "again"), device="cpu")
    first, second, *_ = trainer.batches.epoch(0)  # what the training took first, 16 images each
    assert len(shown) == 24
    for (pixels, caption), image, label in zip(
        shown, [*first.images, *second.images[:8]], [*first.labels, *second.labels[:8]], strict=True
    ):
        np.testing.assert_array_equal(pixels, np.rint(255 * image[0].numpy()))
        assert caption == data.classes[label]
    assert "varied by <code>data.shift</code>, <code>data.flip</code>, <code>data.erase</code>; it standardizes" in (
        page.read_text(encoding="utf-8")
    )


def test_the_page_shows_right_answers_beside_the_wrong_ones(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    page = tmp_path / "run.html"
    assert capsedge("show", str(exported_once.path), "--html", str(page)).returncode == 0
    pictures = Pictures(page).under
    test = load_dataset("fashion-mnist-subset").test
    with open_session(exported_once.path / "model.onnx") as session:
        lengths = session.run(test.images).lengths
    classes = exported_once.read_record().classes
    right = np.flatnonzero(lengths.argmax(1) == test.labels)
    first = {label: next(each for each in right if test.labels[each] == label) for label in test.labels[right]}
    assert len(pictures["Right answers"]) == len(first)
    for (label, place), (pixels, caption) in zip(sorted(first.items()), pictures["Right answers"], strict=True):
        np.testing.assert_array_equal(pixels, test.images[place, ..., 0])
        second, largest = np.sort(lengths[place])[-2:]
        other = classes[int(np.flatnonzero(lengths[place] == second)[0])]
        assert caption == f"test image {place}: {classes[label]} {largest:.2f}, then {other} {second:.2f}"
    wrong = {caption.partition(":")[0] for _, caption in pictures["Wrong answers"]}
    assert wrong.isdisjoint(caption.partition(":")[0] for _, caption in pictures["Right answers"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data_source": "/gone/photos"}, "its data '/gone/photos' cannot be loaded"),
        ({"data_sha256": "0" * 64}, "'fashion-mnist-subset' now holds other images"),
    ],
    ids=["gone", "others"],
)
def test_without_its_images_the_page_says_so_and_has_the_rest(
    changed: dict[str, str], said: str, capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    folder, page = tmp_path / "run", tmp_path / "run.html"
    shutil.copytree(exported_once.path, folder)
    (folder / "run.json").write_text(json.dumps(json.loads((folder / "run.json").read_text()) | changed))
    done = capsedge("show", str(folder), "--html", str(page))
    assert done.returncode == 0, done.stderr
    text = page.read_text(encoding="utf-8")
    (line,) = re.findall(r"<h2>Images</h2><p>They cannot be shown: (.*?)</p>", text)
    assert said in line.replace("&#x27;", "'")
    assert "<img" not in text
    for rest in ("<polyline", "[routing]", "Kept: the network of epoch"):
        assert rest in text


def test_an_export_that_is_damaged_or_older_than_its_network_is_told(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "a run"
    shutil.copytree(exported_once.path, folder)
    os.utime(folder / "best.safetensors")
    told = capsedge("show", str(folder))
    assert "older than the run's best network; export the run again: 'model.onnx'" in told.stdout
    assert told.stderr == f"next: capsedge export '{folder}'\n"
    assert [each["older"] for each in json.loads(capsedge("show", str(folder), "--json").stdout)["exports"]] == [True]
    said = capsedge("infer", str(ROOT / "samples"), "--model", str(folder)).stderr
    assert f"' is older than the best network of its run; export it again: capsedge export '{folder}'" in said

    (folder / "model.onnx").write_bytes(b"no model")
    done = capsedge("show", str(folder), "--html", str(tmp_path / "page.html"))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "The export cannot be run: " in page
    assert "Curve" in page


def test_images_that_show_two_classes_are_shown_with_both(capsedge: Capsedge, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    classes = ("a & <b>", "rose", "sky")
    for label, name in enumerate(classes):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(30):
            pixels = random.integers(0, 60, (20, 20), np.uint8)
            pixels[5 * label : 5 * label + 8, 4:14] += 150
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    two = ("data.overlap=2", "data.shift=0", "data.flip=false", "data.epoch_images=256", "train.epochs=1")
    run = train_tiny(tmp_path / "run", tiny_recipe(*two, f"data.source={tmp_path / 'photos'}"))
    export_run(run)
    done = capsedge("show", str(run.path), "--html", str(tmp_path / "run.html"))
    assert done.returncode == 0, done.stderr
    pictures = Pictures(tmp_path / "run.html").under
    assert 'r="3"' in (tmp_path / "run.html").read_text(encoding="utf-8"), "one validation is a point"
    pairs = {f"{one} and {other}" for one in classes for other in classes if one != other}
    assert {caption for _, caption in pictures["Training images"]} <= pairs
    test = run.load_dataset().test
    with open_session(run.path / "model.onnx") as session:
        lengths = session.run(test.images).lengths
    assert len(pictures["Answers"]) == 12
    for number, (pixels, caption) in enumerate(pictures["Answers"]):
        place = number * len(test) // 12
        np.testing.assert_array_equal(pixels, test.images[place, ..., 0])
        first, second, third = (f"{classes[at]} {lengths[place, at]:.2f}" for at in np.argsort(-lengths[place]))
        shown = " and ".join(classes[label] for label in test.labels[place])
        assert caption == f"{first}, {second}, then {third}; is {shown}"


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


def test_the_next_step_of_a_run_without_export_follows_its_advice(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(exported_once.path, folder, ignore=shutil.ignore_patterns("model*"))
    values = json.loads((folder / "run.json").read_text())
    warning = {"code": "at-chance", "text": "it guesses", "error": 0.9, "chance": 0.9}
    follow = f"do as the warning says and train again; capsedge export {folder} exports the run as it is"
    remark = {"code": "overfitted", "text": "it overfits", "numbers": {"error": 0.2, "training_error": 0.01}}
    for warnings, remarks, line, step in (
        ([], [remark], "advice: it overfits", f"capsedge export {folder}"),
        ([], ["it errs"], "advice: it errs", f"capsedge export {folder}"),  # of an earlier capsedge
        ([warning], [], "warning: it guesses", follow),
        ([], [], "kept: epoch", f"capsedge export {folder}"),
    ):
        (folder / "run.json").write_text(json.dumps(values | {"warnings": warnings, "remarks": remarks}))
        shown = capsedge("show", str(folder))
        assert shown.stderr == f"next: {step}\n"
        assert line in shown.stdout
    shutil.copy(exported_once.path / "model.onnx", folder)  # an export makes it no better
    (folder / "run.json").write_text(json.dumps(values | {"warnings": [warning]}))
    assert capsedge("show", str(folder)).stderr == "next: do as the warning says and train again\n"


def test_a_run_that_is_being_trained_is_told_from_an_interrupted_one(
    capsedge: Capsedge, exported_once: Run, tmp_path: Path
) -> None:
    run, page = Run(tmp_path / "run"), tmp_path / "run.html"
    shutil.copytree(exported_once.path, run.path)
    record = run.path / "run.json"
    record.write_text(record.read_text().replace('"finished"', '"training"'))
    with run.locked():
        told = capsedge("show", str(run.path), "--html", str(page))
        machine = json.loads(capsedge("show", str(run.path), "--json").stdout)
    here = f"process {os.getpid()}"
    assert told.stdout.startswith(f"run:    {run.path}, being trained now by {here}, on cpu")
    assert told.stderr.endswith(
        f"next: wait until {here} has trained the run; capsedge show {run.path} shows it then\n"
    )
    assert "being trained; " in page.read_text(encoding="utf-8")
    assert (machine["trained_by"], machine["status"], machine["seconds"]) == (here, "training", None)

    told = capsedge("show", str(run.path), "--html", str(page))
    assert told.stdout.startswith(f"run:    {run.path}, interrupted, on cpu")
    assert told.stderr.endswith(f"next: capsedge train --resume --run {run.path}\n")
    assert "interrupted; " in page.read_text(encoding="utf-8")
    assert json.loads(capsedge("show", str(run.path), "--json").stdout)["trained_by"] == ""

    (run.path / ".lock").unlink()
    (run.path / ".lock").mkdir()  # cannot be opened, as that of another user
    told = capsedge("show", str(run.path), "--html", str(page))
    assert told.stdout.startswith(f"run:    {run.path}, not finished, on cpu")
    assert "note: whether a process trains the run cannot be told" in told.stderr
    assert json.loads(capsedge("show", str(run.path), "--json").stdout)["trained_by"] is None
    assert "next: " not in told.stderr
    assert "not finished; " in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("edge-small", "a recipe and of a model: capsedge recipe edge-small or capsedge inspect edge-small shows it"),
        ("cifar-10-l2", "a recipe: capsedge recipe cifar-10-l2 shows it"),
        ("builtin", "a model: capsedge inspect builtin shows it"),
    ],
)
@pytest.mark.parametrize("command", ["show {}", "export {}", "compress {} --keep 0.5", "train --resume --run {}"])
def test_a_name_in_place_of_a_run_is_told_with_the_command_that_takes_it(
    command: str, name: str, said: str, capsedge: Capsedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = one_line(capsedge(*command.format(name).split()), 1)
    assert line == (
        f"capsedge: expected the folder of a run, got '{name}', the name of {said}; capsedge train makes a run"
    )
